"""What the tests of the samples share: run a sample, time it, and check what it prints.

A test is called with the program as its only argument; COIR_REACTOR says which reactor it is to run on.
SAMPLE_SLACK multiplies every upper limit on time (sanitizer builds).

What is wrong fails at once. What is only late may be the machine's doing: then the whole test begins anew, up to
ATTEMPTS times.
"""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import reactor  # pylint: disable=wrong-import-position
from reactor import SKIPPED  # pylint: disable=wrong-import-position,unused-import

SLACK = float(os.environ.get("SAMPLE_SLACK", "1"))
PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(f"usage: {sys.argv[0]} PROGRAM")


ATTEMPTS = 4

reactor.skip_without()


class Late(Exception):
    """Raised, not exited with, so that every `with` ends first."""


def again(kind, error, trace):
    """What Python calls for an exception that nobody caught."""
    attempt = int(os.environ.get("SAMPLE_ATTEMPT", "1"))
    if kind is not Late or attempt == ATTEMPTS:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"late, tried again: {error}", file=sys.stderr, flush=True)
    os.environ["SAMPLE_ATTEMPT"] = str(attempt + 1)
    os.execv(sys.executable, [sys.executable, *sys.argv])


sys.excepthook = again

class Result:
    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds
        self.lines = out.splitlines()


def run(*arguments, limit=30):
    """Runs the sample to its end; after `limit` seconds it is killed and the test fails."""
    start = time.monotonic()
    try:
        done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit * SLACK)
    except subprocess.TimeoutExpired as late:
        fail(f"{late}\nstdout: {late.stdout}\nstderr: {late.stderr}")
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


def start(*arguments):
    """Starts the sample with its stdout and stderr as pipes; use it in a `with`, and `kill` it on failure."""
    return subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def serving(*arguments):
    """Runs a sample that serves until it is told to end; gives its port. It has to end cleanly, with nothing on stderr."""
    with start(*arguments) as server:
        try:
            announced = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", server.stdout.readline())
            check(announced, "the port is printed")
            yield int(announced[1])
            server.terminate()
            out, err = server.communicate(timeout=10 * SLACK)
            check(server.returncode == 0 and out == "" and err == "",
                  f"ends when it is told to: status {server.returncode}, {out!r}, {err!r}")
        except subprocess.TimeoutExpired:
            fail("the server does not end")
        finally:
            if server.poll() is None:
                server.kill()


def fail(message):
    sys.exit(f"FAILED: {message}")


def describe(result):
    if not result:
        return ""
    return f"\nstatus {result.status}, {result.seconds:.2f} s\nstdout:\n{result.out}\nstderr:\n{result.err}"


def check(condition, what, result=None):
    if not condition:
        fail(what + describe(result))


def check_succeeded(result):
    check(result.status == 0, "the status is 0", result)
    check(result.err == "", "nothing on stderr", result)


def check_in_time(condition, what, result=None):
    """`condition` is an upper limit on time, or an order that only times make."""
    if not condition:
        raise Late(what + describe(result))


def check_took(result, least, most):
    what = f"it takes {least} to {most} s, not {result.seconds:.2f}"
    check(least <= result.seconds, what, result)
    check_in_time(result.seconds <= most * SLACK, what, result)


def check_refused(arguments, *words):
    """Wrong arguments: status 2 at once, nothing on stdout, and a message with each of `words`."""
    result = run(*arguments, limit=5)
    check(result.status == 2 and result.out == "", f"{arguments} is refused", result)
    for word in words:
        check(word in result.err, f"the message for {arguments} says {word!r}", result)

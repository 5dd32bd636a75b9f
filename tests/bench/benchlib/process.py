"""Starting the contenders: pinned to a core, gone when this program is gone, and stopped by their process id."""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import time

READY_TIMEOUT_S = 20
STOP_TIMEOUT_S = 5
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """A program of the suite is missing, failed or did not answer."""


def cores():
    """The server's core and the generator's; the same one twice on a machine with one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[1] if len(available) > 1 else available[0]


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _in_child(core):
    def prepare():
        if core is not None:
            os.sched_setaffinity(0, {core})
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return prepare


def _environment(extra):
    return dict(os.environ, **(extra or {}))


def _named(command):
    """A command for messages: the program without its folder, which is the machine's business."""
    return " ".join([os.path.basename(str(command[0])), *map(str, command[1:])])


def run_json(command, core, env=None, timeout_s=120):
    """Runs a program that prints one JSON object and returns that."""
    try:
        done = subprocess.run(command, env=_environment(env), capture_output=True, text=True, timeout=timeout_s,
                              preexec_fn=_in_child(core), check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{_named(command)}: no end after {timeout_s} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BenchError(f"{_named(command)}: exit code {done.returncode}: {last}")
    return json.loads(done.stdout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(server):
    readable, _, _ = select.select([server.stdout], [], [], READY_TIMEOUT_S)
    line = server.stdout.readline().strip() if readable else ""
    if line != "ready":
        raise BenchError(f"{_named(server.args[:1])} did not get ready" + (f" but said {line!r}" if line else ""))


def child_of(pid):
    """The one child of a process that has one: what strace runs."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as stat:
            if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                return int(entry)
    raise BenchError(f"process {pid} has no child")


@contextlib.contextmanager
def server(command, core, env=None, traced=False):
    """An echo server that is ready; yields (process, pid of the server itself), and stops it."""
    process = subprocess.Popen(command, env=_environment(env), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, preexec_fn=_in_child(core))
    pid = process.pid
    try:
        _wait_until_ready(process)
        if traced:
            pid = child_of(process.pid)
        yield process, pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait(STOP_TIMEOUT_S)
        process.stdout.close()


def progress(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)

"""What the tests of coir-run share: a program, run bare and under coir-run, shows and leaves behind the same.

A test is called with the path of coir-run as its only argument. COIR_REACTOR and COIR_PATCH_ALWAYS are for the patched run.
Exit status 77: skipped.
"""

import collections
import difflib
import os
import pathlib
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "clients"), str(TESTS / "support")]
import reactor  # pylint: disable=wrong-import-position

LIMIT = 60  # seconds for one run
COIR_RUN = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(f"usage: {sys.argv[0]} COIR_RUN")
BARE = {name: value for name, value in os.environ.items() if not name.startswith("COIR_")} | {"LC_ALL": "C.UTF-8"}
PATCHED = BARE | {name: value for name, value in os.environ.items() if name.startswith("COIR_")}

# A name that the resolver refuses by itself, without asking a server: a label of more than 63 characters.
NO_SUCH_HOST = "x" * 64 + ".invalid"


reactor.skip_without()

# `files`: {path: content} of what the run left in its folder, which was empty.
Result = collections.namedtuple("Result", "status out err files")


def fail(message):
    sys.exit(f"FAILED: {message}")


def content(path):
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    if path.is_dir():
        return "a folder"
    return f"mode {path.stat().st_mode:o}\n{path.read_bytes().decode(errors='backslashreplace')}"


def run(words, stdin, leave_out, environment):
    with tempfile.TemporaryDirectory(prefix="coir-run-") as folder:
        try:
            done = subprocess.run(words, input=stdin.encode(), capture_output=True, cwd=folder, env=environment,
                                  timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired as late:
            fail(f"{late}\nstdout: {late.stdout}\nstderr: {late.stderr}")
        files = {str(path.relative_to(folder)): path for path in sorted(pathlib.Path(folder).rglob("*"))}
        return Result(done.returncode, done.stdout.decode(errors="backslashreplace"),
                      done.stderr.decode(errors="backslashreplace"),
                      {name: content(path) for name, path in files.items() if not name.startswith(leave_out)})


def difference(bare, patched):
    for name, one, other in zip(Result._fields, bare, patched):
        if one == other:
            continue
        if name == "status":
            yield f"status {one}, under coir-run {other}"
            continue
        texts = [(f" {path}", one.get(path, "absent"), other.get(path, "absent")) for path in sorted({**one, **other})
                 ] if name == "files" else [("", one, other)]
        for path, left, right in texts:
            lines = list(difflib.unified_diff(left.splitlines(), right.splitlines(), f"bare {name}{path}",
                                              f"coir-run {name}{path}", lineterm="", n=1))
            yield "\n".join(line[:200] for line in lines[:40])


def same(*words, status=0, out="", err="", stdin="", leave_out=(), normalise=lambda text: text, **environment):
    """Runs `words` both ways, each in an empty folder; returns what both did.

    The bare run has to end with `status` and print `out` and `err` somewhere. `normalise` is for what differs between
    two bare runs in stdout and stderr, `leave_out` for such files: the beginnings of their paths.
    """
    words = [str(word) for word in words]
    results = []
    for prefix, variables in ([], BARE), ([COIR_RUN], PATCHED):
        result = run([*prefix, *words], stdin, tuple(leave_out), variables | environment)
        results.append(result._replace(out=normalise(result.out), err=normalise(result.err)))
    bare, patched = results
    shown = " ".join(word if len(word) < 200 else "..." for word in words)
    if bare.status != status or out not in bare.out or err not in bare.err:
        fail(f"expected status {status}, stdout with {out!r}, stderr with {err!r} of bare {shown}\n"
             f"status {bare.status}\nstdout:\n{bare.out[-2000:]}\nstderr:\n{bare.err[-2000:]}")
    if patched != bare:
        fail("\n".join([shown, *difference(bare, patched)]))
    print(f"same: {shown}")
    return bare

"""usage: names_beside.py DOXYGEN DOXYFILE NAMES_DEF

docs/if-you-know.md leaves out no public name of what it compares with, names nothing that Python does not have, and puts
names beside it that coir, libc or C++ do have; where there is none it gives a reason. Exit status 77 (skipped): this is not the
Python or gevent that the page tells of.
"""

import collections
import ctypes
import importlib
import pathlib
import re
import sys

from reference import Reference

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "if-you-know.md"
VERSIONS = {"Python": "3.11", "gevent": "22.10"}

MODULES = """
gevent gevent.greenlet gevent.event gevent.lock gevent.queue gevent.pool gevent.threadpool gevent.timeout gevent.subprocess
gevent.signal gevent.local asyncio concurrent.futures multiprocessing.pool threading
""".split()

# Their public members have to be there, but for those inherited from the class that stands behind them.
CLASSES = {
    "gevent.Greenlet": "",
    "gevent.event.Event": "",
    "gevent.event.AsyncResult": "",
    "gevent.lock.Semaphore": "",
    "gevent.lock.BoundedSemaphore": "gevent.lock.Semaphore",
    "gevent.lock.RLock": "",
    "gevent.lock.DummySemaphore": "",
    "gevent.queue.Queue": "",
    "gevent.queue.JoinableQueue": "gevent.queue.Queue",
    "gevent.queue.LifoQueue": "gevent.queue.Queue",
    "gevent.queue.PriorityQueue": "gevent.queue.Queue",
    "gevent.queue.SimpleQueue": "",
    "gevent.queue.Channel": "",
    "gevent.pool.Group": "",
    "gevent.pool.Pool": "gevent.pool.Group",
    "gevent.threadpool.ThreadPool": "",
    "gevent.threadpool.ThreadPoolExecutor": "",
    "gevent.threadpool.ThreadResult": "",
    "gevent.timeout.Timeout": "",
    "gevent.subprocess.Popen": "",
    "asyncio.Future": "",
    "asyncio.Task": "asyncio.Future",
    "asyncio.TaskGroup": "",
    "asyncio.Timeout": "",
    "asyncio.Runner": "",
    "asyncio.Handle": "",
    "asyncio.TimerHandle": "",
    "asyncio.Lock": "",
    "asyncio.Event": "",
    "asyncio.Condition": "",
    "asyncio.Semaphore": "",
    "asyncio.BoundedSemaphore": "asyncio.Semaphore",
    "asyncio.Barrier": "",
    "asyncio.Queue": "",
    "asyncio.LifoQueue": "asyncio.Queue",
    "asyncio.PriorityQueue": "asyncio.Queue",
    "asyncio.StreamReader": "",
    "asyncio.StreamWriter": "",
    "asyncio.Server": "",
    "asyncio.subprocess.Process": "",
    "asyncio.AbstractEventLoop": "",
    "concurrent.futures.Future": "",
    "concurrent.futures.Executor": "",
    "concurrent.futures.ThreadPoolExecutor": "concurrent.futures.Executor",
    "concurrent.futures.ProcessPoolExecutor": "concurrent.futures.Executor",
    "multiprocessing.pool.Pool": "",
    "multiprocessing.pool.ThreadPool": "",
    "multiprocessing.pool.AsyncResult": "",
    "multiprocessing.pool.IMapIterator": "",
}

UNKNOWN = object()
Row = collections.namedtuple("Row", "line owners theirs ours note")


def check_versions():
    found = {"Python": ".".join(map(str, sys.version_info[:2]))}
    try:
        found["gevent"] = ".".join(importlib.import_module("gevent").__version__.split(".")[:2])
    except ImportError:
        found["gevent"] = "missing"
    if found != VERSIONS:
        print(f"skipped: the page tells of {VERSIONS}, here is {found}")
        sys.exit(77)
    if not all(f"{name} {version}" in PAGE.read_text(encoding="utf-8") for name, version in VERSIONS.items()):
        sys.exit(f"the page does not say that it tells of {VERSIONS}")


def python_object(path):
    """What `a.b.C` means, or UNKNOWN."""
    parts = path.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ImportError:
            continue
        for name in parts[split:]:
            if not hasattr(found, name):
                return UNKNOWN
            found = getattr(found, name)
        return found
    return UNKNOWN


def rows():
    """The lines of the tables. `owners`: the modules and classes that the heading above names."""
    owners = []
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#"):
            owners = re.findall(r"`([\w.]+)`", line)
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) != 3:
                sys.exit(f"line {number}: a row has three cells, this has {len(cells)}")
            yield Row(number, owners, *(re.findall(r"`([^`]+)`", cell) for cell in cells[:2]), cells[2])


def paths_of(row, name):
    """The full names that `name` stands for below its heading: members of what that names, or their siblings."""
    for scopes in (row.owners, [owner.rpartition(".")[0] for owner in row.owners if "." in owner]):
        if found := {f"{scope}.{name}" for scope in scopes if python_object(f"{scope}.{name}") is not UNKNOWN}:
            return found
    return set()


def required():
    """{full name}"""
    result = set()
    for name in MODULES:
        module = python_object(name)
        public = getattr(module, "__all__", None) or [each for each in dir(module) if each[0] != "_"]
        result |= {f"{name}.{each}" for each in public}
    for name, base in CLASSES.items():
        inherited = dir(python_object(base)) if base else []
        result |= {f"{name}.{each}" for each in dir(python_object(name)) if each[0] != "_" and each not in inherited}
    return result


def missing(covered):
    """What is not in the tables, under this name or another of the same thing (gevent.Timeout, gevent.timeout.Timeout)."""
    things = [python_object(path) for path in covered]
    same = {id(thing) for thing in things if callable(thing)}
    return sorted(name for name in required() - covered if id(python_object(name)) not in same)


def problems_of(row, coir, patched, libc):
    for name in row.theirs:
        if not paths_of(row, name):
            yield f"{name}: {', '.join(row.owners) or 'no heading'} has no such name"
    for name in row.ours:
        if name.startswith("std::"):
            continue
        if name.startswith("::"):
            if name[2:] not in patched and not hasattr(libc, name[2:]):
                yield f"{name}: not of libc"
        elif name not in coir:
            yield f"{name}: coir has no such public name"
    if not row.ours and not row.note:
        yield f"{', '.join(row.theirs)}: neither a name beside it nor a reason"


def main():
    doxygen, doxyfile, names_def = sys.argv[1:]
    check_versions()
    coir = Reference(doxygen, doxyfile).names
    patched = set(re.findall(r"^COIR_PATCHED\((\w+),", pathlib.Path(names_def).read_text(encoding="utf-8"), re.M))
    table = list(rows())
    covered = {path for row in table for name in row.theirs for path in paths_of(row, name)}
    problems = [f"line {row.line}: {problem}" for row in table
                for problem in problems_of(row, coir, patched, ctypes.CDLL(None))]
    problems += [f"{name}: not on the page" for name in missing(covered)]
    print(f"{len(required())} names are asked for, {len(table)} rows")
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

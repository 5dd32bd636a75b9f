"""The rounds of the TCP echo benchmark, and the system calls per request.

A round measures every contender once, each with a server of its own; those that the targets compare have more
rounds than the other peers. The order is reversed from round to round.
"""

import os
import shutil
import tempfile

from .contenders import ECHO_CLOSE, ECHO_PEERS
from .process import BenchError, cores, free_port, progress, run_json, server

# (connections, message size). The server's buffer is larger than a message, so a message never fills it: only then
# can a short read tell anyone that the socket is drained.
CELLS = ((64, 64), (1000, 64), (64, 16384), (1000, 16384))
STRACE_CELL = (64, 64)
TRACED = ("coir_epoll", "coir_uring", "epoll_loop")
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "io_uring_enter", "poll", "ppoll"}
TRIES = 2


def cell_name(cell):
    size = f"{cell[1] // 1024} KiB" if cell[1] >= 1024 else f"{cell[1]} B"
    return f"{cell[0]} connections, {size}"


def buffer_size(message):
    return max(4096, 2 * message)


def _generate(suite, port, cell, pid, warmup_ms, measure_ms):
    return run_json([suite.loadgen(), "--port", str(port), "--connections", str(cell[0]), "--size", str(cell[1]),
                     "--pid", str(pid), "--warmup-ms", str(warmup_ms), "--measure-ms", str(measure_ms)], cores()[1])


def _measure(suite, program, cell, settings):
    port = free_port()
    command = program.with_arguments(port, buffer_size(cell[1]))
    with server(command, cores()[0], program.env) as (_, pid):
        return _generate(suite, port, cell, pid, settings["warmup_ms"], settings["measure_ms"])


def _attempt(suite, program, cell, settings, results):
    for left in reversed(range(TRIES)):
        try:
            return _measure(suite, program, cell, settings)
        except (BenchError, ValueError) as error:
            progress(f"  {program.name}: {error}")
            if left == 0:
                results["failures"].append(f"echo, {cell_name(cell)}, {program.name}: {error}")
    return None


def run(suite, settings, results):
    results["echo"] = {}
    for cell in CELLS:
        figures = results["echo"].setdefault(cell_name(cell), {})
        for number in range(settings["echo_rounds"]):
            names = ECHO_CLOSE + (ECHO_PEERS if number < settings["peer_echo_rounds"] else ())
            progress(f"echo, {cell_name(cell)}, round {number + 1} of {settings['echo_rounds']}")
            programs = suite.echo(names)
            for program in programs if number % 2 == 0 else programs[::-1]:
                figures.setdefault(program.name, []).append(_attempt(suite, program, cell, settings, results))


def parse_strace(text):
    """{system call: (calls, errors)} of the table that strace -c writes."""
    calls = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) in (5, 6) and words[0].replace(".", "").isdigit() and words[-1] != "total":
            calls[words[-1]] = (int(words[3]), int(words[4]) if len(words) == 6 else 0)
    return calls


def _trace(suite, program, settings):
    port = free_port()
    command = program.with_arguments(port, buffer_size(STRACE_CELL[1]))
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "strace")
        with server(["strace", "-f", "-c", "-o", table, *command], cores()[0], program.env, traced=True):
            figures = _generate(suite, port, STRACE_CELL, 0, 100, settings["strace_ms"])
        with open(table) as file:
            calls = parse_strace(file.read())
    requests = figures["total_requests"]
    return {"requests": requests,
            "calls": {name: [count / requests, errors / requests] for name, (count, errors) in calls.items()}}


def run_system_calls(suite, settings, results):
    results["system_calls"] = {}
    if not shutil.which("strace"):
        results["missing"]["strace"] = "not installed: system calls per request are not counted"
        return
    progress("system calls per request, under strace")
    for program in suite.echo(TRACED):
        try:
            results["system_calls"][program.name] = _trace(suite, program, settings)
        except (BenchError, OSError, ValueError, ZeroDivisionError) as error:
            results["failures"].append(f"strace of {program.name}: {error}")


def calls_outside_waits(traced):
    return sum(count for name, (count, _) in traced["calls"].items() if name not in WAITS)


def waits(traced):
    return sum(count for name, (count, _) in traced["calls"].items() if name in WAITS)

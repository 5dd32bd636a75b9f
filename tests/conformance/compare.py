"""usage: compare.py THREADS_PROGRAM FIBERS_PROGRAM [--host NAME] [--together] [PART_OF_A_ROW_NAME...]

Runs the rows on threads without coir and on fibers with coir-patch, and compares what they noted. COIR_REACTOR says
on which reactor the fibers wait. Exit status 77 (skipped): the kernel refuses io_uring.
"""

import argparse
import collections
import difflib
import os
import pathlib
import re
import subprocess
import sys

import differences

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import reactor  # pylint: disable=wrong-import-position


class Row:
    def __init__(self):
        self.seen = []  # "flow: text"
        self.failures = []
        self.notes = []
        self.end = None


def run(program, arguments, environment):
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", env=environment)
    rows = collections.OrderedDict()
    loose = []
    for line in done.stdout.splitlines():
        parts = line.split("\t")
        if len(parts) != 3:
            loose.append(line)
            continue
        name, flow, text = parts
        if flow == "!":
            loose.append(f"{name}: {text}")
            continue
        row = rows.setdefault(name, Row())
        if flow == "=":
            row.end = text
        elif flow == "#":
            row.notes.append(text)
        elif flow.startswith("!"):
            row.failures.append(f"{flow[1:]}: {text}")
        else:
            row.seen.append(f"{flow}: {text}")
    if done.returncode != 0:
        loose.append(f"{program} ended with status {done.returncode}")
    return rows, loose + done.stderr.splitlines()


# The kernel counts time-outs of sockets in ticks, and may end them up to one early. coir does not.
TICK_MS = 4
EARLY = re.compile(r".*: early: took ([\d.]+) ms where ([\d.]+) were expected")


def by_a_tick(failure):
    early = EARLY.fullmatch(failure)
    return early is not None and float(early[2]) - float(early[1]) < TICK_MS


def wrong(row, on_threads):
    """What is wrong with a row by itself."""
    problems = [f"failed: {failure}" for failure in row.failures if not (on_threads and by_a_tick(failure))]
    if row.end not in (None, "ended"):
        problems.append(row.end)
    return problems


def only_late(row):
    return all(": late: " in failure for failure in row.failures) and row.end in (None, "ended")


def judge(name, before, row, host):
    """The problems of a row, given the same on threads or None."""
    problems = wrong(row, host == "threads")
    if before is None:
        return problems
    problems += [f"on threads: {problem}" for problem in wrong(before, True)]
    why = differences.reason(name, host)
    if before.seen != row.seen and why is None:
        problems += ["differs from threads (-) on fibers (+):"]
        problems += list(difflib.unified_diff(before.seen, row.seen, lineterm="", n=2))[2:]
    elif before.seen == row.seen and why is not None:
        problems.append("is documented to differ, and does not: " + why)
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("threads")
    parser.add_argument("fibers")
    parser.add_argument("--host", default="fibers")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--jobs", default="4")
    parser.add_argument("names", nargs="*")
    options = parser.parse_intermixed_args()
    reactor.skip_without()

    plain = {name: value for name, value in os.environ.items() if not name.startswith("COIR_")}
    def on_threads(*arguments):
        return run(options.threads, ["--rows-of", options.host, *arguments], plain)

    def on_fibers(*arguments):
        return run(options.fibers, ["--host", options.host, *arguments], dict(os.environ))

    expected, trouble = on_threads("--jobs", options.jobs, *options.names)
    seen, more_trouble = on_fibers("--jobs", options.jobs, *(["--together"] if options.together else []), *options.names)
    failed = 0
    for name, row in seen.items():
        before = expected.pop(name, None)
        problems = judge(name, before, row, options.host)
        # A busy machine makes things late: then once more, alone. Nothing else is tried twice.
        if problems and only_late(row) and (before is None or only_late(before)) and (row.failures or before.failures):
            print(f"late, tried again: {name}")
            again, _ = on_fibers("--jobs", "1", name)
            before = on_threads("--jobs", "1", name)[0].get(name)
            problems = judge(name, before, again.get(name, row), options.host)
        if problems:
            failed += 1
            print(f"FAILED {name}")
            print("\n".join(f"    {problem}" for problem in problems))
        if row.notes:
            print(f"{name}: {'; '.join(row.notes)}")
    for name in expected:
        failed += 1
        print(f"FAILED {name}\n    only the threads told of it")
    for line in trouble + more_trouble:
        print(f"stray output: {line}")
    print(f"{len(seen)} rows on {options.host}, {failed} failed")
    sys.exit(1 if failed or not seen else 0)


main()

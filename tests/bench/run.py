#!/usr/bin/env python3
"""Runs the benchmark suite: coir beside its peers, in one run, on one machine.

    python3 tests/bench/run.py --build BUILD_DIR        the whole suite, about ten minutes; writes docs/benchmarks.md
                                                        and docs/benchmarks/*.svg
    python3 tests/bench/run.py --build BUILD_DIR --quick            under two minutes, prints only
    python3 tests/bench/run.py --build BUILD_DIR --only micro       one part (micro, rss, tasks, echo, clients)
    python3 tests/bench/run.py --build BUILD_DIR --out FILE.md      write the report there, whatever was run
    python3 tests/bench/run.py --build BUILD_DIR --render           the report again, from the last run's raw numbers

BUILD_DIR is a Meson build folder of coir, best with --buildtype=release -Dbench=enabled. The programs are built first
(target `bench`), Go's with `go build`; a peer that is not installed is listed as missing. The raw numbers go to
BUILD_DIR/bench-results.json, those of a part or a quick run to bench-results-partial.json. Exit code 0 when
everything ran, whether or not targets were met; 1 when a program failed, 2 for bad usage.

Needs two cores for figures worth publishing, nothing else running, and only Python's standard library. All traffic
is on 127.0.0.1, and everything started here ends with this program.

What is where: micro/, tasks/ and echo/ hold a program per contender, benchlib/ what this file does:
contenders (who, how started), process (pinning, servers), micro, tasks, echo, clients (the rounds), targets (issue table),
tables, plots and report (what is printed and written).
"""

import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchlib import clients, contenders, echo, machine, micro, plots, process, report, tasks  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ("micro", "rss", "tasks", "echo", "clients")

FULL = dict(micro_rounds=3, echo_rounds=7, peer_echo_rounds=3, warmup_ms=250, measure_ms=1000, strace_ms=2500,
            million=True, slow_peers=True)
QUICK = dict(micro_rounds=1, echo_rounds=1, peer_echo_rounds=1, warmup_ms=150, measure_ms=400, strace_ms=1000,
             million=False, slow_peers=False)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path, help="Meson build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--only", choices=PARTS, help="one part of the suite")
    parser.add_argument("--out", type=pathlib.Path, help="where the report goes (a full run: docs/benchmarks.md)")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they are")
    parser.add_argument("--render", action="store_true", help="measure nothing, report on the last run")
    options = parser.parse_args(arguments)
    if not options.build.is_dir():
        parser.error(f"{options.build} is not a build folder: meson setup {options.build} --buildtype=release")
    if options.out is None and not options.quick and not options.only:
        options.out = ROOT / "docs" / "benchmarks.md"
    return options


def measure(options):
    settings = dict(QUICK if options.quick else FULL)
    suite = contenders.Suite(options.build, build=not options.no_build)
    results = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine.describe(options.build),
        "settings": dict(settings, quick=options.quick),
        "missing": suite.missing,
        "failures": [],
    }
    started = time.monotonic()
    parts = [options.only] if options.only else PARTS
    if "micro" in parts:
        micro.run(suite, settings, results)
    if "rss" in parts:
        micro.run_memory(suite, settings, results)
    if "tasks" in parts:
        tasks.run(suite, settings, results)
    if "echo" in parts:
        echo.run(suite, settings, results)
        echo.run_system_calls(suite, settings, results)
    if "clients" in parts:
        clients.run(suite, options.build, results)
    results["seconds"] = round(time.monotonic() - started)
    return results


def main(arguments):
    options = parse(arguments)
    whole = not options.quick and not options.only
    raw = options.build / ("bench-results.json" if whole else "bench-results-partial.json")
    try:
        if options.render:
            results = json.loads(raw.read_text())
        else:
            process.raise_file_limit()
            results = measure(options)
            raw.write_text(json.dumps(results, indent=1))
    except (process.BenchError, FileNotFoundError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    print(report.for_terminal(results))
    if options.out:
        folder = options.out.with_suffix("")
        names = plots.write_all(results, folder)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(report.for_docs(results, folder.name, names))
        print(f"written: {options.out} and {len(names)} plots in {folder}; raw numbers: {raw}")
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

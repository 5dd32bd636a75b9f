"""Unmodified client libraries against real servers: the programs of tests/clients, whose own figures are taken."""

import os
import pathlib
import re
import subprocess
import sys

from .contenders import COIR
from .process import BenchError, progress, run_json

RUNNER = pathlib.Path(__file__).resolve().parents[2] / "clients" / "run.py"
PROGRAMS = ("postgres", "redis", "nginx", "tls", "sqlite", "popen", "boost_process", "fifo")
# As clients::run of tests/clients/crowd.cpp prints it.
LINE = re.compile(r"(?P<what>.+): \w+, (?P<operations>\d+) operations in (?P<all_ms>[\d.]+) ms, "
                  r"one in (?P<one_ms>[\d.]+) ms, longest pause (?P<pause_ms>[\d.]+) ms, (?P<threads>\d+) threads")


def _figures(build, program, reactor):
    # More slack than the tests have: here a figure is a figure.
    environment = dict(os.environ, COIR_REACTOR=reactor, CLIENTS_SLACK="10")
    done = subprocess.run([sys.executable, RUNNER, program, build / "tests" / "clients" / f"client_{program}"],
                          env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"client {program}: {(done.stdout + done.stderr).strip()[-500:]}")
    return {found["what"]: {key: float(found[key]) for key in ("operations", "all_ms", "one_ms", "pause_ms", "threads")}
            for found in map(LINE.fullmatch, done.stdout.splitlines()) if found}


def run(suite, build, results):
    """results["clients"]: {what: {contender: figures}}; results["system"]: milliseconds."""
    results["clients"] = {}
    for program in PROGRAMS:
        progress(f"client {program}")
        for name in COIR:
            try:
                for what, figures in _figures(build, program, name.removeprefix("coir_")).items():
                    results["clients"].setdefault(what, {})[name] = figures
            except (BenchError, OSError) as error:
                results["failures"].append(str(error))
    progress("system()")
    program = suite.patched_system()
    if program:
        try:
            results["system"] = {name: run_json(program.with_arguments(), None, {"COIR_REACTOR": name.removeprefix("coir_")})
                                 for name in COIR}
        except (BenchError, ValueError) as error:
            results["failures"].append(f"patched_system: {error}")

"""Runs a scenario of scenarios.cpp, and says what is wrong with what it printed."""

import os
import subprocess
import sys


def run(program, name, **environment):
    present = {key: value for key, value in os.environ.items() if key == "COIR_REACTOR" or not key.startswith("COIR_")}
    return subprocess.run([program, name], env={**present, **environment}, capture_output=True, text=True, timeout=50)


def expect(done, what, *, status=0, out=None, err=None):
    """`out` and `err`: the whole text, or a function that returns whether it is right."""
    right = done.returncode == status
    for wanted, text in ((out, done.stdout), (err, done.stderr)):
        if wanted is not None:
            right = right and (wanted(text) if callable(wanted) else wanted == text)
    if not right:
        sys.exit(f"{what}: status {done.returncode}, expected {status}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}")

"""What the tests of the package share: install into an empty folder, compile against it, run, check.

A test gets its context as arguments, see `parse_context`. Exit status 77: skipped.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77


def parse_context(*names):
    """The paths and words that meson.build passes on, as --name value each."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument("--" + name, required=True)
    return parser.parse_args()


def fail(message):
    sys.exit(f"FAILED: {message}")


def need_tool(name):
    if not shutil.which(name):
        print(f"skipped: {name} is missing")
        sys.exit(SKIPPED)


class Result:
    """How a command ended; prints as what one needs to see of it when a check fails."""

    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    def __str__(self):
        return f"{self.command}\nstatus {self.status}\nstdout:\n{self.out}\nstderr:\n{self.err}"

    def expect(self, status=0, out="", err=""):
        """The exit status is `status`, and `out` and `err` are somewhere in what it printed."""
        if self.status != status or out not in self.out or err not in self.err:
            fail(f"expected status {status}, stdout with {out!r}, stderr with {err!r} of {self}")
        return self


def run(command, limit=60, **environment):
    """Runs `command` (a list) with `environment` added to this process's; None takes a variable out."""
    command = [str(word) for word in command]
    merged = {name: str(value) for name, value in {**os.environ, **environment}.items() if value is not None}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit,
                              env=merged)
    except subprocess.TimeoutExpired as late:
        fail(f"{late}\nstdout: {late.stdout}\nstderr: {late.stderr}")
    return Result(command, done.returncode, done.stdout, done.stderr)


def do(command, limit=120, **environment):
    """Runs a command that must succeed; returns what it printed."""
    return run(command, limit, **environment).expect(0).out


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="coir-package-")


class Installation:
    """coir installed below `folder`, as a packager stages it: the prefix inside is the configured one."""

    def __init__(self, context, folder):
        do(["meson", "install", "-C", context.build, "--no-rebuild", "--quiet", "--destdir", folder])
        self.stage = pathlib.Path(folder)
        self.prefix = self.stage / context.prefix.lstrip("/")
        self.libdir = self.prefix / context.libdir
        self.path = self.libdir  # not where ldconfig would look
        self.coir_run = self.prefix / context.bindir / "coir-run"

    def flags(self, module, static=False):
        words = ["pkg-config", "--cflags", "--libs", *(["--static"] if static else []), module]
        # The paths in the files are those of the configured prefix; the sysroot puts the stage in front of them.
        return do(words, PKG_CONFIG_PATH=self.libdir / "pkgconfig", PKG_CONFIG_SYSROOT_DIR=self.stage).split()


class BuildFolder:
    """coir used from the build folder, not installed."""

    def __init__(self, context):
        self.build = pathlib.Path(context.build)
        self.libdir = self.build / "lib"
        self.path = None  # programs find the libraries by themselves
        self.coir_run = self.build / "lib" / "launcher" / "coir-run"

    def flags(self, module, static=False):
        words = ["pkg-config", "--cflags", "--libs", *(["--static"] if static else []), module]
        return do(words, PKG_CONFIG_PATH=self.build / "meson-uninstalled").split()


class Workshop:
    """A folder outside the tree with the third-party library and the programs that are built against it."""

    def __init__(self, context, folder):
        self.c, self.cxx = context.c.split(), context.cxx.split()
        self.folder = pathlib.Path(folder)
        self.sources = HERE / "consumer"
        compiled = [*self.c, "-O2", "-D_FORTIFY_SOURCE=2", "-fPIC", self.sources / "third.c"]
        do([*compiled, "-shared", "-o", self.folder / "libthird.so"])
        do([*compiled, "-c", "-o", self.folder / "third.o"])

    def third(self, static=False):
        """What links the third-party library."""
        if static:
            return [self.folder / "third.o"]
        return [f"-L{self.folder}", "-lthird", f"-Wl,-rpath,{self.folder}"]

    def link(self, name, source, flags, output=None):
        """Compiles a program of the consumer folder, or of a path; `flags` holds all that is to be linked."""
        program = self.folder / (output or name)
        do([*self.cxx, "-std=c++20", "-O1", self.sources / source, "-o", program, *flags])
        return program

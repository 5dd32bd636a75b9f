"""Who is measured, and how each is started. `Suite` finds or builds the programs and knows who is missing."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

from .process import BenchError, progress

HERE = pathlib.Path(__file__).resolve().parents[1]

COIR = ("coir_epoll", "coir_uring")
LOOP = "epoll_loop"

# What the report calls them, in the order it shows them.
LABELS = {
    "coir_epoll": "coir, epoll",
    "coir_uring": "coir, io_uring",
    "epoll_loop": "epoll loop in C",
    "epoll_shared": "epoll loop, one shared buffer",
    "uring_loop": "io_uring loop in C",
    "boost_fiber": "Boost.Fiber",
    "libuv": "libuv",
    "asio": "Asio coroutines",
    "st": "State Threads",
    "go": "Go, one thread",
    "gevent": "gevent",
}

MICRO = ("coir_epoll", "coir_uring", "boost_fiber", "st", "go", "gevent")
# Those that targets compare come first and next to each other, so that little time lies between them.
ECHO_CLOSE = ("coir_epoll", "epoll_loop", "coir_uring", "epoll_shared", "uring_loop")
ECHO_PEERS = ("libuv", "asio", "st", "go", "gevent")

_ENV = {"coir_epoll": {"COIR_REACTOR": "epoll"}, "coir_uring": {"COIR_REACTOR": "uring"}}
_MICRO_PROGRAM = {"coir_epoll": "coir_micro", "coir_uring": "coir_micro", "boost_fiber": "boost_fiber_micro",
                  "st": "st_micro"}
_ECHO_PROGRAM = {"coir_epoll": "coir_echo", "coir_uring": "coir_echo", "epoll_loop": "epoll_loop",
                 "epoll_shared": "epoll_loop", "uring_loop": "uring_loop", "libuv": "libuv_echo",
                 "asio": "asio_echo", "st": "st_echo"}
_ECHO_EXTRA = {"epoll_shared": ["--shared"]}


@dataclasses.dataclass
class Program:
    name: str
    command: list
    env: dict = dataclasses.field(default_factory=dict)
    extra: list = dataclasses.field(default_factory=list)  # after the arguments all have

    def with_arguments(self, *arguments):
        return [*map(str, self.command), *map(str, arguments), *self.extra]


class Suite:
    """The programs of one build folder. `missing` says who is not there, and why."""

    def __init__(self, build_folder, build=True):
        self.missing = {}
        self._build = build_folder
        if build:
            self._compile()
        self._folder = self._find_folder()
        self._go = self._build_go()
        self._python = self._python_with_gevent()

    def loadgen(self):
        return self._folder / "loadgen"

    def patched_call(self):
        return self._program("patched_call", "patched_call")

    def patched_locks(self):
        return self._program("patched_locks", "patched_locks")

    def latency(self):
        return [p for p in (self._program(name, "coir_latency") for name in COIR) if p]

    def patched_system(self):
        return self._program("patched_system", "patched_system")

    def tasks(self):
        """(name, program, arguments, whether it is of one thread) of the programs of tasks/ that are here."""
        found = []
        for name in COIR:
            program = self._program(name, "coir_tasks")
            if program:
                found += [(name, program, ["one"], True), (name, program, ["two"], False)]
        go = self._resolve("go", {}, "tasks")
        if go:
            found += [("go_1", go, [1], True), ("go_2", go, [2], False)]
        asio = self._program("asio", "asio_offload")
        if asio:
            found.append(("asio", asio, [], False))
        return found

    def micro(self):
        """The contenders of the micro benchmarks that are here."""
        return [p for p in (self._resolve(n, _MICRO_PROGRAM, "micro") for n in MICRO) if p]

    def echo(self, names):
        return [p for p in (self._resolve(n, _ECHO_PROGRAM, "echo") for n in names) if p]

    def _compile(self):
        progress("building")
        done = subprocess.run(["meson", "compile", "-C", str(self._build), "bench"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise BenchError("the build failed; is the option on? meson configure "
                             f"{self._build} -Dbench=enabled\n{done.stdout[-3000:]}")

    def _find_folder(self):
        for found in sorted(self._build.rglob("loadgen")):
            if found.is_file():
                return found.parent
        raise BenchError(f"no programs in {self._build}: configure with -Dbench=enabled, or leave out --no-build")

    def _program(self, name, program):
        path = self._folder / program
        if path.is_file():
            return Program(name, [path], _ENV.get(name, {}), _ECHO_EXTRA.get(name, []))
        self.missing[name] = f"{program} was not built: its library is not installed"
        return None

    def _resolve(self, name, programs, kind):
        if name in programs:
            return self._program(name, programs[name])
        if name == "go" and kind in self._go:
            return Program(name, [self._go[kind]])
        if name == "gevent" and self._python:
            return Program(name, [self._python, HERE / kind / f"gevent_{kind}.py"])
        return None

    def _build_go(self):
        if not shutil.which("go"):
            self.missing["go"] = "no go command"
            return {}
        folder = (self._build / "bench-go").resolve()
        env = dict(os.environ, GO111MODULE="off", GOFLAGS="-mod=mod", GOPROXY="off", GOCACHE=str(folder / "cache"))
        built = {}
        for kind in ("micro", "echo", "tasks"):
            built[kind] = folder / kind
            done = subprocess.run(["go", "build", "-o", built[kind], HERE / kind / "go" / f"{kind}.go"], env=env,
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                self.missing["go"] = "go build failed: " + (done.stderr.strip().splitlines() or ["?"])[-1]
                return {}
        return built

    def _python_with_gevent(self):
        # The first python3 of the path is not always the one that the system's packages are for.
        for folder in [*os.environ.get("PATH", "").split(os.pathsep), *os.defpath.split(os.pathsep)]:
            python = pathlib.Path(folder) / "python3"
            if folder and os.access(python, os.X_OK):
                probe = subprocess.run([python, "-c", "import gevent"], capture_output=True, check=False)
                if probe.returncode == 0:
                    return python
        self.missing["gevent"] = "no python3 that can import gevent"
        return None

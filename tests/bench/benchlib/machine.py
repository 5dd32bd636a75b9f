"""What the figures were measured on: machine, kernel, compiler, versions of the peers."""

import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess

PACKAGES = ("libboost-fiber1.81-dev", "golang-go", "python3-gevent", "libst-dev", "libuv1-dev", "liburing-dev")


def _first(path, prefix, separator):
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(prefix):
                return line.split(separator, 1)[1].strip().strip('"')
    except OSError:
        pass
    return "unknown"


def _output(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _compiler(build):
    try:
        entry = json.loads((build / "compile_commands.json").read_text())[0]
        compiler = next(word for word in shlex.split(entry["command"]) if "ccache" not in word)
        return _output([compiler, "--version"]).splitlines()[0]
    except (OSError, LookupError, ValueError, StopIteration):
        return "unknown"


def _build_options(build):
    try:
        options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    except (OSError, ValueError):
        return {}
    wanted = ("buildtype", "optimization", "b_lto", "b_ndebug", "b_sanitize")
    return {option["name"]: option["value"] for option in options if option["name"] in wanted}


def _versions():
    if not shutil.which("dpkg-query"):
        return {}
    text = _output(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES])
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line.strip())


def available_memory():
    """Bytes that can be had without swapping."""
    return int(_first("/proc/meminfo", "MemAvailable:", ":").split()[0]) * 1024


def describe(build):
    return {
        "cpu": _first("/proc/cpuinfo", "model name", ":"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first("/proc/meminfo", "MemTotal:", ":").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "system": _first("/etc/os-release", "PRETTY_NAME", "="),
        "compiler": _compiler(build),
        "build": _build_options(build),
        "max_map_count": int(pathlib.Path("/proc/sys/vm/max_map_count").read_text()),
        "load_before": os.getloadavg()[0],
        "versions": _versions(),
    }

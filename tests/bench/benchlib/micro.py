"""The rounds of the micro benchmarks: switches, sleepers, patched call; and memory per parked fiber."""

from . import machine
from .process import BenchError, cores, progress, run_json

# What the items are, in the order the report shows them; values in nanoseconds per operation.
ITEMS = {
    "yield_2": "yield, 2 fibers",
    "yield_1000": "yield, 1000 fibers",
    "spawn_join": "spawn and join, one by one",
    "spawn_10k_join_all": "spawn 10,000, join all, per fiber",
    "handover_cond": "hand-over round trip: mutex and condition variable",
    "handover_sem": "hand-over round trip: two semaphores",
    "handover_channel": "hand-over round trip: two rendezvous channels",
    "mutex": "uncontended mutex, lock and unlock",
    "mutex_mt": "the same, a second thread alive",
}
SLEEPERS = {
    "sleepers_wall_ms": "wall, warm (ms)",
    "sleepers_cpu_ms": "CPU, warm (ms)",
    "sleepers_cold_wall_ms": "wall, cold (ms)",
    "sleepers_early": "woke early",
}
# Beside fibers that compute 0.5 ms between their switches; microseconds.
LATENCY = {
    "late_timer_2_us": "latest timer beside 2 computing fibers",
    "late_read_2_us": "latest read of a pipe beside 2",
    "late_timer_100_us": "latest timer beside 100",
    "late_read_100_us": "latest read of a pipe beside 100",
}
MEMORY_COUNTS = (100_000, 1_000_000)

# Bytes a fiber takes at most, to know beforehand whether a million fit; and who is not asked for a million.
BYTES_PER_FIBER = {"coir_epoll": 6000, "coir_uring": 6000, "st": 6000, "go": 4000}


def _collect(results, name, values):
    lists = results["micro"].setdefault(name, {})
    for key, value in values.items():
        if isinstance(value, (int, float)):
            lists.setdefault(key, []).append(value)


def _attempt(results, what, command, core, env=None):
    """One run; what fails is noted and leaves a gap, nothing more."""
    try:
        return run_json(command, core, env)
    except (BenchError, ValueError) as error:
        results["failures"].append(f"{what}: {error}")
        progress(f"  FAILED {what}: {error}")
        return {}


def run(suite, settings, results):
    results["micro"] = {}
    core = cores()[1]  # interrupts mostly go to the first
    contenders = suite.micro()
    patched, locks = suite.patched_call(), suite.patched_locks()
    for number in range(settings["micro_rounds"]):
        progress(f"micro, round {number + 1} of {settings['micro_rounds']}")
        order = contenders if number % 2 == 0 else contenders[::-1]
        for what in ("switches", "sleepers"):
            for program in order:
                if program.name == "gevent" and what == "sleepers" and not settings["slow_peers"]:
                    continue
                name = f"{program.name} {what}"
                _collect(results, program.name,
                         _attempt(results, name, program.with_arguments(what), core, program.env))
        for program in suite.latency():
            # All cores: the pipe's writer is a thread of its own.
            _collect(results, program.name,
                     _attempt(results, f"{program.name} latency", program.with_arguments(), None, program.env))
        if patched:
            values = _attempt(results, "patched_call", patched.with_arguments(), core)
            if values:
                results["patched_by"] = values["patched_by"]
            _collect(results, "patched_call", values)
        if locks:
            _collect(results, "patched_call", _attempt(results, "patched_locks", locks.with_arguments(), core))


def run_memory(suite, settings, results):
    results["rss"] = {}
    core = cores()[1]
    for count in MEMORY_COUNTS:
        progress(f"memory of {count:,} parked fibers")
        for program in suite.micro():
            if count > MEMORY_COUNTS[0]:
                if program.name not in BYTES_PER_FIBER:
                    continue
                if not settings["million"] and program.name != "coir_epoll":
                    continue
                if machine.available_memory() < 1.2 * count * BYTES_PER_FIBER[program.name]:
                    results["failures"].append(f"{program.name}: too little memory free for {count:,} fibers")
                    continue
            values = _attempt(results, f"{program.name} rss {count}", program.with_arguments("rss", count), core,
                              program.env)
            if values:
                kept = {key: values[key] for key in ("rss_bytes", "page_table_bytes")}
                results["rss"].setdefault(program.name, {})[str(count)] = kept

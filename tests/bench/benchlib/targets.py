"""The targets of the library, as the table of its first issue has them, judged on one run's results.

A target is judged once per reactor: (what, target, {contender: (text, met)}), where met is None if it could not be
measured. R is the raw Boost.Context switch of the same process.
"""

from . import echo, micro, tasks
from .contenders import COIR, LOOP
from .stats import median, ratio

RATIO_LIMIT = {"coir_epoll": 1.05, "coir_uring": 1.02}
P99_LIMIT = 1.1
CALLS_LIMIT = 2.05  # two, and the share of what a connection costs once
RSS_LIMIT = 4400
MUTEX_LIMIT_NS = 5.6
LATENCY_LIMIT_US = 2000  # two slices of 0.5 ms, and a millisecond

IN_SWITCHES = (
    ("yield, 2 fibers", "yield_2", 1.6),
    ("yield, 1000 fibers", "yield_1000", 2.6),
    ("spawn and join, one by one", "spawn_join", 8),
    ("spawn 10,000 and join all, per fiber", "spawn_10k_join_all", 8),
    ("hand-over round trip, condition variable", "handover_cond", 7),
    ("hand-over round trip, semaphore", "handover_sem", 7),
    ("hand-over round trip, channel", "handover_channel", 9),
)
AT_MOST = (
    ("100,000 sleepers, warm, wall", "sleepers_wall_ms", 115, "ms"),
    ("100,000 sleepers, warm, CPU", "sleepers_cpu_ms", 60, "ms"),
    ("100,000 sleepers, woke early", "sleepers_early", 0, ""),
)

_NOT_MEASURED = ("not measured", None)


def _judge(value, limit, text):
    return _NOT_MEASURED if value is None else (text(value), value <= limit)


def _micro(results, name, item):
    return results.get("micro", {}).get(name, {}).get(item)


def _in_switches(results):
    for what, item, limit in IN_SWITCHES:
        verdicts = {}
        for name in COIR:
            values = _micro(results, name, item)
            ns, multiple = median(values), ratio(values, _micro(results, name, "raw_switch"))
            verdicts[name] = _judge(multiple, limit, lambda m, ns=ns: f"{ns:.1f} ns = {m:.2f} R")
        yield what, f"≤ {limit} R", verdicts


def _mutex(results):
    go = _micro(results, "go", "mutex")
    for what, item in (("uncontended mutex, one thread", "mutex"), ("uncontended mutex, two threads", "mutex_mt")):
        yield what, f"≤ {MUTEX_LIMIT_NS} ns", {
            name: _judge(median(_micro(results, name, item)), MUTEX_LIMIT_NS, lambda v: f"{v:.2f} ns")
            for name in COIR}
        yield f"{what}, over Go's", "< 1.00", {
            name: _judge(ratio(_micro(results, name, item), go), 0.99999, lambda v: f"{v:.2f}") for name in COIR}


def _sleepers(results):
    for what, item, limit, unit in AT_MOST:
        pick = max if item == "sleepers_early" else median  # early even once is early
        verdicts = {}
        for name in COIR:
            values = _micro(results, name, item)
            verdicts[name] = _judge(pick(values) if values else None, limit, lambda v, u=unit: f"{v:.0f} {u}".strip())
        yield what, f"≤ {limit} {unit}".strip() if limit else "none", verdicts


def _latency(results):
    for item, what in micro.LATENCY.items():
        verdicts = {}
        for name in COIR:
            values = _micro(results, name, item)
            verdicts[name] = _judge(max(values) if values else None, LATENCY_LIMIT_US, lambda v: f"{v / 1000:.2f} ms")
        yield what, f"≤ {LATENCY_LIMIT_US / 1000:.0f} ms", verdicts


def _memory(results):
    for count, label in (("100000", "100,000"), ("1000000", "1,000,000")):
        yield f"RSS per parked fiber, {label}", f"≤ {RSS_LIMIT} B", {
            name: _judge(results.get("rss", {}).get(name, {}).get(count, {}).get("rss_bytes"), RSS_LIMIT,
                         lambda v: f"{v:.0f} B") for name in COIR}


def figures(results, cell, name, key):
    """One contender's values of one cell, a None for each round that failed."""
    return [r and r[key] for r in results.get("echo", {}).get(cell, {}).get(name, [])]


def over_loop(results, cell, name, key):
    return ratio(figures(results, cell, name, key), figures(results, cell, LOOP, key))


def _echo(results):
    limits = " / ".join(f"{RATIO_LIMIT[name]:.2f}" for name in COIR)
    for cell in map(echo.cell_name, echo.CELLS):
        yield f"echo, {cell}: server CPU per request over the epoll loop", f"≤ {limits}", {
            name: _judge(over_loop(results, cell, name, "cpu_s_per_million"), RATIO_LIMIT[name],
                         lambda v: f"{v:.3f}") for name in COIR}
        yield f"echo, {cell}: p99 over the loop's", f"≤ {P99_LIMIT}", {
            name: _judge(over_loop(results, cell, name, "p99_us"), P99_LIMIT, lambda v: f"{v:.2f}") for name in COIR}


def _system_calls(results):
    verdicts = {}
    for name in COIR:
        traced = results.get("system_calls", {}).get(name)
        if traced:
            outside, waits = echo.calls_outside_waits(traced), echo.waits(traced)
            verdicts[name] = (f"{outside:.2f} + {waits:.2f} waits", outside <= CALLS_LIMIT)
        else:
            verdicts[name] = _NOT_MEASURED
    yield "system calls per request", "2 + shared waits", verdicts


def _patched(results):
    for what, key in (("patched call, no fibers in the process, over the bare call", "patched_read_overhead"),
                      ("the same on a plain thread beside one with fibers", "patched_read_overhead_beside_fibers")):
        value = median(_micro(results, "patched_call", key))
        verdict = _judge(value, 2, lambda v: f"{v:+.2f} ns")
        if value is not None and "coir" not in results.get("patched_by", ""):
            verdict = (f"not patched: read comes from {results.get('patched_by')}", False)
        yield what, "≤ 2 ns", {name: verdict for name in COIR}


def _locks(results):
    for what, key, limit, text in (
            ("uncontended pthread_mutex on a fiber, over libc's", "mutex_fiber_ratio", 1.3, "{:.2f}"),
            ("uncontended pthread_mutex on a plain thread, over libc's", "mutex_plain_ratio", 1.15, "{:.2f}"),
            ("patched read of a byte that is there, over the bare call: socket", "read_socket_overhead", 20, "{:+.0f} ns"),
            ("the same: pipe", "read_pipe_overhead", 20, "{:+.0f} ns")):
        verdict = _judge(median(_micro(results, "patched_call", key)), limit, text.format)
        yield what, f"≤ {limit}{' ns' if limit == 20 else ''}", {name: verdict for name in COIR}
    fibers, threads = (_micro(results, "patched_call", f"handovers_{kind}") for kind in ("fibers", "threads"))
    verdict = _NOT_MEASURED
    if fibers and threads:
        verdict = (f"{median(fibers):,.0f} k/s against {median(threads):,.0f} k/s", median(fibers) > median(threads))
    yield ("contended std::mutex, hand-overs: 10,000 fibers against 100 threads, on one core", "ahead",
           {name: verdict for name in COIR})


def _clients(results):
    what = "libpq, select pg_sleep(1)"
    yield f"100 × {what}, on one thread", "≤ 1,250 ms", {
        name: _judge(results["clients"].get(what, {}).get(name, {}).get("all_ms"), 1250, "{:,.0f} ms".format)
        for name in COIR}
    pauses = {name: max((by_name[name]["pause_ms"] for by_name in results["clients"].values() if name in by_name),
                        default=None) for name in COIR}
    yield "a ticker's longest pause beside any client", "≤ 20 ms", {
        name: _judge(pauses[name], 20, "{:.1f} ms".format) for name in COIR}
    system = results.get("system", {})
    ratios = {name: system[name]["system_fibers_ms"] / system[name]["system_threads_ms"] if name in system else None
              for name in COIR}
    yield "1,000 × system(\"sleep 0.5\"), 100 at a time, over the same by threads", "≤ 1.2", {
        name: _judge(ratios[name], 1.2, "{:.2f}".format) for name in COIR}
    for text, key in (("getnameinfo of numbers", "getnameinfo_numeric"), ("getaddrinfo of an address", "getaddrinfo_numeric"),
                      ("fsync of memory", "fsync_memory"), ("msgsnd and msgrcv that need not wait", "message")):
        yield f"{text}, on a fiber", "≤ 2 µs", {
            name: _judge(system[name].get(f"{key}_fiber_ns", 0) / 1000 or None if name in system else None, 2,
                         "{:.2f} µs".format) for name in COIR}


def judge(results):
    """All targets whose part of the suite was run."""
    rows = []
    if "micro" in results:
        rows += [*_in_switches(results), *_mutex(results), *_sleepers(results), *_latency(results),
                 *_patched(results), *_locks(results)]
    if "rss" in results:
        rows += _memory(results)
    if "tasks" in results:
        rows += tasks.judge(results)
    if "echo" in results:
        rows += [*_echo(results), *_system_calls(results)]
    if "clients" in results:
        rows += _clients(results)
    return rows

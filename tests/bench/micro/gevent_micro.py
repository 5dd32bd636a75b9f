"""gevent's micro benchmarks. Arguments, keys and method as in measure.h, with smaller counts: it is two orders of
magnitude slower than the compiled contenders, and the counts are only there to make a measurement long enough."""

import json
import statistics
import sys
import time

from gevent import monkey

monkey.patch_all()

import threading  # noqa: E402  (patched above)

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.lock import Semaphore  # noqa: E402
from gevent.queue import Channel  # noqa: E402

SLEEPERS = 100_000
SPAN_US = 100_000
REPETITIONS = 3


def measure(body, n):
    body(n)
    results = []
    for _ in range(REPETITIONS):
        start = time.perf_counter_ns()
        body(n)
        results.append((time.perf_counter_ns() - start) / n)
    return statistics.median(results)


def yield_among(greenlets):
    def one(each):
        for _ in range(each):
            gevent.sleep(0)

    return lambda n: gevent.joinall([gevent.spawn(one, n // greenlets) for _ in range(greenlets)])


def nothing():
    pass


def spawn_join(n):
    for _ in range(n):
        gevent.spawn(nothing).join()


def spawn_join_all(n):
    gevent.joinall([gevent.spawn(nothing) for _ in range(n)])


def handover_cond(n):
    changed = threading.Condition(threading.Lock())
    turn = [0]

    def side(me):
        with changed:
            for _ in range(n):
                while turn[0] != me:
                    changed.wait()
                turn[0] = 1 - me
                changed.notify()

    gevent.joinall([gevent.spawn(side, 0), gevent.spawn(side, 1)])


def handover_sem(n):
    to_ping, to_pong = Semaphore(0), Semaphore(0)

    def ping():
        for _ in range(n):
            to_pong.release()
            to_ping.acquire()

    def pong():
        for _ in range(n):
            to_pong.acquire()
            to_ping.release()

    gevent.joinall([gevent.spawn(ping), gevent.spawn(pong)])


def handover_channel(n):
    to_ping, to_pong = Channel(), Channel()

    def ping():
        for i in range(n):
            to_pong.put(i)
            to_ping.get()

    def pong():
        for _ in range(n):
            to_ping.put(to_pong.get())

    gevent.joinall([gevent.spawn(ping), gevent.spawn(pong)])


def lock_unlock(n):
    lock = threading.Lock()
    for _ in range(n):
        lock.acquire()
        lock.release()


def switches():
    return {
        "yield_2": measure(yield_among(2), 40_000),
        "yield_1000": measure(yield_among(1000), 40_000),
        "spawn_join": measure(spawn_join, 5_000),
        "spawn_10k_join_all": measure(spawn_join_all, 10_000),
        "handover_cond": measure(handover_cond, 10_000),
        "handover_sem": measure(handover_sem, 20_000),
        "handover_channel": measure(handover_channel, 10_000),
        "mutex": measure(lock_unlock, 200_000),
    }


def sleeper_times():
    times = [i * SPAN_US // SLEEPERS for i in range(SLEEPERS)]
    state = 42
    for i in range(SLEEPERS - 1, 0, -1):
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        j = (state >> 33) % (i + 1)
        times[i], times[j] = times[j], times[i]
    return [t / 1e6 for t in times]


def run_sleepers(times, check):
    early = 0

    def checked(seconds):
        nonlocal early
        start = time.perf_counter()
        gevent.sleep(seconds)
        if time.perf_counter() - start < seconds:
            early += 1

    gevent.joinall([gevent.spawn(checked if check else gevent.sleep, t) for t in times])
    return early


def sleepers():
    times = sleeper_times()
    start = time.perf_counter()
    run_sleepers(times, False)
    cold = time.perf_counter() - start
    start, cpu = time.perf_counter(), time.process_time()
    run_sleepers(times, False)
    return {
        "sleepers_cold_wall_ms": cold * 1e3,
        "sleepers_wall_ms": (time.perf_counter() - start) * 1e3,
        "sleepers_cpu_ms": (time.process_time() - cpu) * 1e3,
        "sleepers_early": run_sleepers(times, True),
    }


def memory():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return [int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "VmPTE")]


def rss(count):
    gate = Event()
    parked = 0

    def park():
        nonlocal parked
        parked += 1
        gate.wait()

    gevent.spawn(nothing).join()
    before = memory()
    greenlets = [gevent.spawn(park) for _ in range(count)]
    while parked < count:
        gevent.sleep(0)
    after = memory()
    gate.set()
    gevent.joinall(greenlets)
    return {"rss_bytes": (after[0] - before[0]) / count, "page_table_bytes": (after[1] - before[1]) / count}


def main(arguments):
    what = arguments[1] if len(arguments) > 1 else "switches"
    result = {"contender": "gevent"}
    if what == "switches":
        result.update(switches())
    elif what == "sleepers":
        result.update(sleepers())
    elif what == "rss" and len(arguments) > 2:
        result.update(rss(int(arguments[2])))
    else:
        print(f"usage: {arguments[0]} switches | sleepers | rss N", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

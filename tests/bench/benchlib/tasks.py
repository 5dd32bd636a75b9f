"""The task vocabulary: map, select, queues, offload, cancellation, beside Go's and Asio's."""

from .contenders import COIR
from .process import BenchError, cores, progress, run_json
from .stats import median, ratio

# In the order the report shows them; nanoseconds per operation.
ITEMS = {
    "map": "map of 1,000,000 empty tasks, limit 1000",
    "map_unordered": "the same, results as they come",
    "select_queue": "select over 8 queues, one has an item: put, select",
    "select_channel": "select over 8 channels, one with a sender: send, select",
    "queue": "queue of 128, put and get between two fibers",
    "queue_threads": "the same between two threads",
    "offload": "to a pool of threads and back",
    "throw": "throw and catch, in one function",
    "cancel_parked": "cancel, unwind and join a parked fiber, of 100,000",
}
LABELS = {"coir_epoll": "coir, epoll", "coir_uring": "coir, io_uring", "go_1": "Go, GOMAXPROCS=1", "go_2": "Go, GOMAXPROCS=2",
          "asio": "Asio thread_pool"}

# what, item, of coir, whose figure, item of theirs, at most so many times theirs
RATIOS = (
    ("map, per task", "map", "go_1", "map", 0.5),
    ("select over 8 queues, one ready", "select_queue", "go_1", "select_queue", 1.0),
    ("select over 8 channels, one ready", "select_channel", "go_1", "select_channel", 1.0),
    ("queue put and get between two fibers", "queue", "go_1", "queue", 0.5),
    ("queue put and get between two threads", "queue_threads", "go_2", "queue_threads", 1.0),
    ("the same, over two goroutines on any of two threads", "queue_threads", "go_2", "queue", 1.0),
    ("offload round trip", "offload", "asio", "offload", 1.0),
)
CANCEL_LIMIT_NS = 5000


def run(suite, settings, results):
    """results["tasks"]: {contender: {item: [values]}}. What is of one thread is pinned to a core, the rest has all."""
    results["tasks"] = {}
    for number in range(settings["micro_rounds"]):
        progress(f"tasks, round {number + 1} of {settings['micro_rounds']}")
        programs = suite.tasks()
        for name, program, arguments, pinned in programs if number % 2 == 0 else programs[::-1]:
            try:
                values = run_json(program.with_arguments(*arguments), cores()[1] if pinned else None, program.env)
            except (BenchError, ValueError) as error:
                results["failures"].append(f"{name} tasks: {error}")
                continue
            lists = results["tasks"].setdefault(name, {})
            for key, value in values.items():
                if key in ITEMS:
                    lists.setdefault(key, []).append(value)


def judge(results):
    """As targets.judge."""
    figures = results["tasks"]
    for what, item, peer, theirs, limit in RATIOS:
        yield f"{what}: over {LABELS[peer]}", f"≤ {limit}", {
            name: _verdict(figures.get(name, {}).get(item), figures.get(peer, {}).get(theirs), limit) for name in COIR}
    verdicts = {}
    for name in COIR:
        cancel, thrown = (median(figures.get(name, {}).get(item)) for item in ("cancel_parked", "throw"))
        verdicts[name] = ("not measured", None) if cancel is None or thrown is None else (
            f"{cancel / 1000:.2f} µs; a throw and catch {thrown / 1000:.2f} µs", cancel <= CANCEL_LIMIT_NS)
    yield "cancel and unwind of a parked fiber", "≤ 5 µs", verdicts


def _verdict(ours, theirs, limit):
    over = ratio(ours, theirs)
    return ("not measured", None) if over is None else (f"{median(ours):,.0f} ns = {over:.2f}×", over <= limit)

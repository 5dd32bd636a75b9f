"""The report: for the terminal, and as docs/benchmarks.md. Where coir loses is found in the data, not written."""

from . import echo, micro, tables, targets
from .contenders import COIR, LABELS
from .stats import median, ratio, spread

TRIED = ("What was tried for them, with figures: [many cold fibers](adr/0003-many-cold-fibers.md), "
         "[the echo server](adr/0004-echo.md), "
         "[a read that finds its byte](adr/0005-read-that-need-not-wait.md).")
BUSY_LOAD = 0.5  # what the minute before an honest run may have had


def _worst_of_coir(figures, item):
    """coir's values of the reactor that did worse: what a peer has to beat."""
    ours = [(median(values), values) for name in COIR if (values := figures.get(name, {}).get(item))]
    return max(ours, default=(None, None), key=lambda pair: pair[0])[1]


def _within_spread(ours, theirs):
    return abs(median(ours) - median(theirs)) <= (
        (spread(ours) or 0) * median(ours) + (spread(theirs) or 0) * median(theirs))


def _ahead(label, factor, doubtful):
    return f"{label} ({factor:.2f}×{', within the spread' if doubtful else ''})"


def _micro_losses(results):
    figures = results.get("micro", {})
    labels = dict(micro.ITEMS, sleepers_wall_ms="100,000 sleepers, warm, wall",
                  sleepers_cpu_ms="100,000 sleepers, warm, CPU", sleepers_cold_wall_ms="100,000 sleepers, cold, wall")
    for item, what in labels.items():
        ours = _worst_of_coir(figures, item)
        better = []
        for name in LABELS:
            theirs = figures.get(name, {}).get(item) if name not in COIR else None
            if ours and theirs and median(theirs) < median(ours):
                better.append(_ahead(LABELS[name], ratio(ours, theirs), _within_spread(ours, theirs)))
        if better:
            yield f"{what}: behind {', '.join(better)}."


def _memory_losses(results):
    for count in map(str, micro.MEMORY_COUNTS):
        sizes = {name: kept[count]["rss_bytes"] for name, kept in results.get("rss", {}).items() if count in kept}
        ours = max((sizes[name] for name in COIR if name in sizes), default=None)
        better = [f"{LABELS[name]} ({size:.0f} B)" for name, size in sizes.items()
                  if name not in COIR and ours is not None and size < ours]
        if better:
            yield f"Memory per parked fiber, {int(count):,}: {ours:.0f} B, more than {', '.join(better)}."


def _echo_losses(results):
    for cell, by_name in results.get("echo", {}).items():
        for key, what in (("cpu_s_per_million", "CPU per request"), ("p99_us", "p99")):
            for us in COIR:
                ours, better = targets.figures(results, cell, us, key), []
                for name in LABELS:
                    theirs = targets.figures(results, cell, name, key) if name in by_name else []
                    factor = ratio(ours, theirs)
                    if name not in COIR and factor is not None and factor > 1:
                        better.append(_ahead(LABELS[name], factor, _within_spread(ours, theirs)))
                if better:
                    yield f"Echo, {cell}, {what}, {LABELS[us]}: behind {', '.join(better)}."


def _missed(results):
    for what, limit, verdicts in targets.judge(results):
        missed = [f"{LABELS[name]}: {verdicts[name][0]}" for name in COIR if verdicts[name][1] is False]
        if missed:
            yield f"{what}: target {limit}; {'; '.join(missed)}."


def losses(results):
    """The section's text: the targets that were missed, then every peer that is ahead of coir in anything."""
    missed = [*_missed(results)]
    behind = [*_micro_losses(results), *_memory_losses(results), *_echo_losses(results)]
    listed = lambda items, none: "\n".join(f"- {item}" for item in items) or none  # noqa: E731
    return (f"## Where coir loses\n\nTargets missed:\n\n{listed(missed, '- None in this run.')}\n\n"
            f"{TRIED}\n\n"
            "Behind others; in brackets coir's figure over theirs. Micro and memory compare the reactor that did worse.\n\n"
            f"{listed(behind, '- Nowhere in this run.')}")


def _sections(results):
    """(title, text under it, table) of what was measured."""
    yield "Targets", "R is the raw Boost.Context switch of the same process.", tables.target_table(results)
    if results.get("micro"):
        yield ("Micro", "Nanoseconds per operation, median of the rounds and their spread; in brackets how many times "
               "coir's (epoll) figure. State Threads needs no mutex with its condition variable; Boost.Fiber runs on "
               "its pooled stacks, without guards.", tables.micro_table(results))
        yield ("Sleepers", "Each fiber sleeps its own time out of 0…100 ms, in one shuffled order; \"warm\" is a later "
               "run in the same process. Waking early is counted in a run of its own.", tables.sleepers_table(results))
    if results.get("rss"):
        yield ("Memory", "Growth of RSS and of page tables in a fresh process, per fiber parked on an event. coir's "
               "stacks have guards, under default sysctls; those of the others have none.",
               tables.memory_table(results))
    if results.get("tasks"):
        yield ("Tasks", "Nanoseconds per operation. Go bounds its goroutines by a channel; between two threads both of its "
               "goroutines are locked to theirs. Cancellation is one throw per frame with something to clean up.",
               tables.tasks_table(results))
    yield from _client_section(results)
    if results.get("echo"):
        yield ("TCP echo", "\"Over the loop\" is over the hand-written epoll loop with a buffer per connection, as a "
               "fiber has; the loop with one shared buffer stands beside it. Ratios are medians of the rounds' own.",
               "\n\n".join(tables.echo_table(results, cell) for cell in results["echo"]))
    if results.get("system_calls"):
        yield ("System calls per request", f"`strace -c -f`, {echo.cell_name(echo.STRACE_CELL)}; start and the "
               "connections' setup are included.", tables.system_call_table(results))


def _client_section(results):
    if results.get("clients"):
        yield ("Clients", "Unmodified client libraries on fibers of one thread, against real servers on this machine "
               "(tests/clients). \"Longest pause\" is that of a fiber beside them that wants to run every millisecond; "
               "\"threads\" counts coir's helpers.", tables.clients_table(results))


def _lines(title, items, none):
    return f"## {title}\n\n" + ("\n".join(f"- {item}" for item in items) if items else none)


def _missing(results):
    return [f"{LABELS.get(name, name)}: {why}" for name, why in results["missing"].items()]


def for_terminal(results):
    parts = [f"## {title}\n\n{table}" for title, _, table in _sections(results)]
    parts.append(losses(results))
    if results["missing"]:
        parts.append(_lines("Missing", _missing(results), ""))
    if results["failures"]:
        parts.append(_lines("Failed", results["failures"], ""))
    return "\n" + "\n\n".join(parts) + f"\n\n{_machine(results)}\n\n{results['seconds']} s\n"


def _busy(machine):
    return ": NOT AN IDLE MACHINE, the figures are doubtful" if machine["load_before"] > BUSY_LOAD else ""


def _machine(results):
    m = results["machine"]
    build = ", ".join(f"{key}={value}" for key, value in m["build"].items())
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    return (f"{m['cores']} cores of {m['cpu']}, {m['memory_gib']} GiB, {m['system']}, kernel {m['kernel']}, "
            f"vm.max_map_count {m['max_map_count']}; {m['compiler']}; {build}. Peers: {versions or 'versions unknown'}. "
            f"Load before the run {m['load_before']:.2f}{_busy(m)}.")


def _method(results):
    s = results["settings"]
    return f"""\
- Micro: {s['micro_rounds']} rounds, in each every contender's program once, in alternating order, pinned to one core. A
  program warms up, repeats each measurement and gives the median.
- Echo: a fresh server per measurement on one core, the one load generator on another, closed loop; warm-up
  {s['warmup_ms']} ms, then {s['measure_ms']} ms measured. {s['echo_rounds']} rounds for coir and the hand-written loops, \
{s['peer_echo_rounds']} for the other peers, in
  alternating order. CPU time is the server process's CPU clock (all its threads) read at both ends of the window.
  Nobody sets TCP_NODELAY (Go's default is switched off). The server's buffer is larger than a message
  ({", ".join(f"{echo.buffer_size(size):,} B for {size:,} B" for size in sorted({c[1] for c in echo.CELLS}))}), so that a \
full buffer never forces another recv.
- "±" is half the distance between the quartiles (of three rounds: half the range), in per cent of the median.
- Where a server was not busy for nearly all of the window, the generator was the limit (or something else ran on
  the machine): judge servers by CPU per request, and requests/s and latency only where "server busy" is near 100%."""


def for_docs(results, folder, pictures):
    quick = " It was a quick run: one short round." if results["settings"]["quick"] else ""
    parts = [
        "# Benchmarks\n\n<!-- Written by tests/bench/run.py; do not edit. -->\n\n"
        f"One run of the one command, {results['date']}, {results['seconds']} s.{quick} Absolute times drift from day "
        "to day and machine to machine; the ratios within a run do not, so compare those.",
        f"## Machine\n\n{_machine(results)}",
    ]
    parts += [f"## {title}\n\n{text}\n\n{table}" for title, text, table in _sections(results)]
    parts.append(losses(results))
    parts.append("## Plots\n\n" + "\n\n".join(f"![{name[:-4]}]({folder}/{name})" for name in pictures))
    parts.append(_lines("Missing", _missing(results), "Every contender was there."))
    if results["failures"]:
        parts.append(_lines("Failed", results["failures"], ""))
    parts.append(f"## Method\n\n{_method(results)}")
    parts.append("## Repeat\n\n```sh\nmeson setup build --buildtype=release -Dbench=enabled\n"
                 "python3 tests/bench/run.py --build build\n```")
    return "\n\n".join(parts) + "\n"

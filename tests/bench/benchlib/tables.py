"""The tables of the report, as Markdown that reads well in a terminal too."""

from . import echo, micro, targets, tasks
from .contenders import COIR, LABELS, LOOP
from .stats import median, ratio, spread


def table(head, rows):
    """Columns padded to one width; the first is text, the others are figures."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(  # noqa: E731
        c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |"
    rule = "|" + "|".join(("-" * (w + 1)) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def number(value):
    """Three significant digits where there are fewer than three before the point."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def with_spread(values, digits=None):
    middle, width = median(values), spread(values)
    if middle is None:
        return "–"
    text = number(middle) if digits is None else f"{middle:.{digits}f}"
    return text if width is None else f"{text} ±{width * 100:.0f}%"


def times(value):
    return "–" if value is None else f"{value:.2f}×"


def _verdict(met):
    return "–" if met is None else "PASS" if met else "miss"


def target_table(results):
    head = ["what", "target"] + [column for name in COIR for column in (LABELS[name], "")]
    rows = []
    for what, limit, verdicts in targets.judge(results):
        row = [what, limit]
        for name in COIR:
            text, met = verdicts[name]
            row += [text, _verdict(met)]
        rows.append(row)
    return table(head, rows)


def _worst(counts):
    return f"{max(counts):.0f}" if counts else "–"


def _present(figures):
    return [name for name in LABELS if name in figures]


def micro_table(results):
    """Medians with spread; in brackets how many times coir's (epoll) a peer takes."""
    figures = results["micro"]
    names = _present(figures)
    rows = [["Boost.Context switch, one way: R"]
            + [with_spread(figures[name].get("raw_switch")) for name in names]]
    for item, label in micro.ITEMS.items():
        row = [label]
        for name in names:
            text = with_spread(figures[name].get(item))
            over = ratio(figures[name].get(item), figures.get(COIR[0], {}).get(item))
            row.append(text if name in COIR or over is None else f"{text} ({times(over)})")
        rows.append(row)
    return table(["ns"] + [LABELS[name] for name in names], rows)


def sleepers_table(results):
    figures = results["micro"]
    rows = [[LABELS[name]] + [with_spread(figures[name].get(item)) if item != "sleepers_early"
                              else _worst(figures[name].get(item)) for item in micro.SLEEPERS]
            for name in _present(figures)]
    return table(["100,000 sleepers"] + list(micro.SLEEPERS.values()), rows)


def tasks_table(results):
    figures = results["tasks"]
    names = [name for name in tasks.LABELS if name in figures]
    rows = [[label] + [with_spread(figures[name].get(item)) for name in names] for item, label in tasks.ITEMS.items()]
    return table(["ns"] + [tasks.LABELS[name] for name in names], rows)


def memory_table(results):
    head = ["bytes per parked fiber"]
    for count in micro.MEMORY_COUNTS:
        head += [f"RSS, {count:,}", "page tables"]
    rows = []
    for name in _present(results["rss"]):
        row = [LABELS[name]]
        for count in micro.MEMORY_COUNTS:
            kept = results["rss"][name].get(str(count), {})
            row += [number(kept.get("rss_bytes")), number(kept.get("page_table_bytes"))]
        rows.append(row)
    return table(head, rows)


def echo_table(results, cell):
    value = lambda name, key: targets.figures(results, cell, name, key)  # noqa: E731
    rows = []
    for name in _present(results["echo"][cell]):
        throughput = median(value(name, "req_per_s"))
        rows.append([
            LABELS[name],
            with_spread(value(name, "cpu_s_per_million"), 2),
            "1" if name == LOOP else times(targets.over_loop(results, cell, name, "cpu_s_per_million")),
            "–" if throughput is None else f"{throughput / 1000:.0f}k",
            number(median(value(name, "p50_us"))),
            number(median(value(name, "p99_us"))),
            "1" if name == LOOP else times(targets.over_loop(results, cell, name, "p99_us")),
            "–" if throughput is None else f"{median(value(name, 'server_busy')) * 100:.0f}%",
        ])
    return table([cell, "CPU-s per million", "over the loop", "req/s", "p50 µs", "p99 µs", "p99 over the loop's",
                  "server busy"], rows)


def system_call_table(results):
    traced = results["system_calls"]
    names = [name for name in LABELS if name in traced]
    calls = sorted({call for name in names for call, (count, _) in traced[name]["calls"].items() if count >= 0.005},
                   key=lambda call: -max(traced[name]["calls"].get(call, [0])[0] for name in names))
    rows = []
    for call in calls:
        row = [call]
        for name in names:
            count, errors = traced[name]["calls"].get(call, (0, 0))
            row.append(f"{count:.3f}" + (f" ({errors:.3f} failed)" if errors >= 0.0005 else ""))
        rows.append(row)
    rows.append(["all but waits"] + [f"{echo.calls_outside_waits(traced[name]):.3f}" for name in names])
    rows.append(["waits"] + [f"{echo.waits(traced[name]):.3f}" for name in names])
    return table(["calls per request"] + [LABELS[name] for name in names], rows)


def clients_table(results):
    rows = []
    for what, by_name in results["clients"].items():
        for name in COIR:
            if name in by_name:
                f = by_name[name]
                rows.append([what, LABELS[name], f"{f['operations']:.0f}", number(f["all_ms"]), number(f["one_ms"]),
                             f"{f['pause_ms']:.1f}", f"{f['threads']:.0f}"])
    return table(["what", "", "at once", "all (ms)", "one alone (ms)", "longest pause (ms)", "threads"], rows)

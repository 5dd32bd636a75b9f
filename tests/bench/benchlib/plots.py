"""The plots of the report: horizontal bars in panels, written as SVG by hand.

A panel's axis ends at the largest value within twelve times coir's; a bar beyond is cut, with a break in it, and
its value says how long it would be. A panel without coir's bar has no cut ones.
"""

from html import escape

from . import echo, micro, targets
from .contenders import COIR, LABELS, LOOP
from .stats import median
from .tables import number

WIDTH, MARGIN, GAP = 960, 24, 28
LABEL_WIDTH, VALUE_WIDTH = 150, 64
BAR, STEP, PANEL_HEAD = 14, 20, 30
FARTHEST = 12

COLOURS = {"coir": "#1f6feb", "floor": "#57606a", "peer": "#afb8c1"}
TEXT, FAINT = "#1f2328", "#59636e"


def _kind(name):
    if name.startswith("coir"):
        return "coir"
    return "floor" if name in (LOOP, "epoll_shared", "uring_loop") else "peer"


def _text(x, y, text, size=12, fill=TEXT, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(text)}</text>')


def _axis_end(bars):
    values = [value for _, value in bars]
    ours = [value for name, value in bars if name in COIR]
    if not ours or min(ours) <= 0:
        return max(values)
    return max(value for value in values if value <= FARTHEST * max(ours))


def _panel(x, y, width, title, bars):
    """`bars` is [(contender, value)]; returns the lines of SVG."""
    out = [_text(x, y + 12, title, 13, weight="600")]
    room = width - LABEL_WIDTH - VALUE_WIDTH
    end = _axis_end(bars) or 1
    for row, (name, value) in enumerate(bars):
        top = y + PANEL_HEAD - 8 + row * STEP
        length = max(1.0, room * min(value / end, 1.0))
        left = x + LABEL_WIDTH
        weight = "600" if name in COIR else "normal"
        out.append(_text(left - 8, top + 11, _short(name), 12, anchor="end", weight=weight))
        out.append(f'<rect x="{left:.1f}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" '
                   f'fill="{COLOURS[_kind(name)]}"/>')
        if value > end:  # the break: two slanted strokes of the background
            for shift in (0.86, 0.90):
                out.append(f'<path d="M{left + length * shift:.1f} {top + BAR + 2} l6 {-BAR - 4}" stroke="#ffffff" '
                           f'stroke-width="3"/>')
        out.append(_text(left + length + 6, top + 11, number(value), 12, FAINT))
    return out


def _short(name):
    return {"epoll_loop": "epoll loop, C", "epoll_shared": "same, one buffer", "uring_loop": "io_uring loop, C",
            "asio": "Asio coroutines", "go": "Go"}.get(name, LABELS[name])


def _height(bars):
    return PANEL_HEAD + len(bars) * STEP


def picture(title, note, panels):
    """A whole SVG: a title, a line of explanation, and panels in two columns."""
    panels = [(name, bars) for name, bars in panels if bars]
    width = (WIDTH - 2 * MARGIN - GAP) / 2
    body, y = [_text(MARGIN, 34, title, 18, weight="600"), _text(MARGIN, 54, note, 12, FAINT)], 76
    for i in range(0, len(panels), 2):
        pair = panels[i:i + 2]
        for column, (name, bars) in enumerate(pair):
            body += _panel(MARGIN + column * (width + GAP), y, width, name, bars)
        y += max(_height(bars) for _, bars in pair) + 14
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 6}" width="{WIDTH}" height="{y + 6}" '
            f'font-family="Helvetica, Arial, sans-serif" role="img" aria-label="{escape(title)}">')
    return "\n".join([head, f'<rect width="{WIDTH}" height="{y + 6}" fill="#ffffff"/>', *body, "</svg>", ""])


def _bars(value_of, names=LABELS):
    return [(name, value) for name in names if (value := value_of(name)) is not None]


def _micro_panels(results, items):
    figures = results["micro"]
    return [(label, _bars(lambda n, i=item: median(figures.get(n, {}).get(i)))) for item, label in items.items()]


def _echo_panels(results, key):
    return [(cell, _bars(lambda n, c=cell: median(targets.figures(results, c, n, key))))
            for cell in map(echo.cell_name, echo.CELLS)]


def write_all(results, folder):
    """Writes the plots of what was measured; returns [(file name, title)]."""
    pictures = {}
    if results.get("micro"):
        pictures["micro"] = picture("Switching, spawning, handing over", "nanoseconds, lower is better; broken bars "
                                    "are longer than shown", _micro_panels(results, micro.ITEMS))
        timed = {item: f"100,000 sleepers: {label}" for item, label in micro.SLEEPERS.items()
                 if item in ("sleepers_wall_ms", "sleepers_cpu_ms")}
        pictures["sleepers"] = picture("100,000 fibers sleeping 0…100 ms", "milliseconds, lower is better; 100 ms "
                                       "wall is the floor", _micro_panels(results, timed))
    if results.get("rss"):
        panels = [(f"{count:,} parked fibers", _bars(
            lambda n, c=str(count): results["rss"].get(n, {}).get(c, {}).get("rss_bytes")))
            for count in micro.MEMORY_COUNTS]
        pictures["memory"] = picture("Memory per parked fiber", "bytes of RSS, lower is better; coir's stacks are "
                                     "guarded", panels)
    if results.get("echo"):
        pictures["echo_cpu"] = picture("TCP echo: server CPU-seconds per million requests", "lower is better; "
                                       "server on one core, generator on another",
                                       _echo_panels(results, "cpu_s_per_million"))
        pictures["echo_p99"] = picture("TCP echo: 99th percentile of latency", "microseconds, lower is better; "
                                       "closed loop", _echo_panels(results, "p99_us"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in pictures.items():
        (folder / f"{name}.svg").write_text(svg)
    return [f"{name}.svg" for name in pictures]

"""scaling: a table of all kinds, a plot of them; fibers reach 100,000; wrong arguments are refused."""

import os
import platform
import re
import tempfile
import xml.etree.ElementTree as xml

from sample import SLACK, check, check_in_time, check_refused, check_succeeded, run

SVG = "{http://www.w3.org/2000/svg}"


def rows(result):
    return [(kind, int(n), float(seconds), float(megabytes)) for kind, n, seconds, megabytes in
            (re.fullmatch(r"(\w+) +(\d+) +([\d.]+) +(-?[\d.]+)", line).groups() for line in result.lines[1:])]


with tempfile.TemporaryDirectory() as folder:
    plot = os.path.join(folder, "plot.svg")
    result = run("-o", plot, "-w", "0.3", "5", "40")
    check_succeeded(result)
    table = rows(result)
    check([row[:2] for row in table] == [(kind, n) for kind in ("processes", "threads", "fibers") for n in (5, 40)],
          "a row for each kind and number", result)
    check(all(0.3 <= row[2] for row in table), "all wait", result)
    check_in_time(all(row[2] < 0.3 + 2 * SLACK for row in table), "all wait at once", result)
    lines = xml.parse(plot).getroot().findall(f"{SVG}g/{SVG}polyline")
    check(len(lines) == 6 and all(len(line.get("points").split()) == 2 for line in lines),
          "the plot has a line for time and one for memory of each kind")

    # Before Linux 6.13 each guarded stack takes two of the 65,530 mappings a process may have by default.
    release = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", platform.release()).groups())
    many = 100_000 if release >= (6, 13) and SLACK == 1 else 5_000
    result = run("-k", "fibers", "-o", plot, "-w", "1", str(many), limit=50)
    check_succeeded(result)
    ((kind, n, seconds, megabytes),) = rows(result)
    check((kind, n) == ("fibers", many) and 1 <= seconds < 20 * SLACK and megabytes > 1, f"{many} fibers wait at once",
          result)

    result = run("-k", "fibers", "-o", os.path.join(folder, "missing", "plot.svg"), "-w", "0.01", "1")
    check(result.status == 2 and "plot.svg" in result.err, "a plot that cannot be written is an error", result)

check_refused(["-x"], "usage")
check_refused(["many"], "many", "expected")
check_refused(["0"], "expected")

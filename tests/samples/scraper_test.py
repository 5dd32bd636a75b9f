"""scraper: 100 and 1000 downloads of a second each take about a second; bar, lines, bad input."""

import http.server
import os
import pty
import re
import socket
import subprocess
import threading
import time

import sample
from sample import check, check_in_time, check_refused, check_succeeded, run

SUMMARY = re.compile(r"(\d+) downloads, (\d+) ok, (\d+) bytes, ([\d.]+) s, (\d+) threads?")


def summary(result):
    found = SUMMARY.fullmatch(result.lines[-1]) if result.lines else None
    check(found, "the last line sums up", result)
    downloads, ok, size, seconds, threads = found.groups()
    return int(downloads), int(ok), int(size), float(seconds), int(threads)


def check_embedded(number, most_seconds):
    result = run("-n", str(number)) if number != 100 else run()
    check_succeeded(result)
    downloads, ok, size, seconds, threads = summary(result)
    check((downloads, ok, size) == (number, number, number * 10_000), f"{number} whole bodies", result)
    check(threads == 1, "one thread", result)
    check(1.0 <= seconds, "it takes a second", result)
    check_in_time(seconds <= most_seconds * sample.SLACK, f"it takes 1 to {most_seconds} s", result)
    check("\r" not in result.out and f"{number} of {number} done" in result.lines,
          "plain lines on a pipe", result)


def check_bar(number):
    """On a terminal: one line drawn over itself, at most every 50 ms."""
    master, slave = pty.openpty()
    start = time.monotonic()
    with subprocess.Popen([sample.PROGRAM, "-n", str(number)], stdin=subprocess.DEVNULL, stdout=slave,
                          stderr=subprocess.PIPE) as program:
        os.close(slave)
        too_late = threading.Timer(20 * sample.SLACK, program.kill)
        too_late.start()
        out = b""
        try:
            while part := os.read(master, 65536):
                out += part
        except OSError:  # EIO: the program has closed its side
            pass
        program.wait()
        too_late.cancel()
    seconds = time.monotonic() - start
    os.close(master)
    drawings = [drawing.rstrip("\r\n") for drawing in out.decode().split("\r[")[1:]]
    check(program.returncode == 0, f"status {program.returncode} on a terminal: {out!r}")
    check(5 <= len(drawings) <= seconds / 0.05 + 2, f"{len(drawings)} drawings in {seconds:.2f} s")
    check(drawings[0].startswith("." * 40 + f"] 0/{number} "), f"the bar begins empty: {drawings[0]!r}")
    check(drawings[-1].startswith("#" * 40 + f"] {number}/{number} "), f"the bar ends full: {drawings[-1]!r}")
    check(f"\r\n{number} downloads, {number} ok, " in out.decode(), f"the summary on a line: {out!r}")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        body = self.path.encode() * 3
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def check_own_urls():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server, socket.socket() as unused:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"

        result = run(f"{base}/one", f"{base}/three")
        check_succeeded(result)
        check(summary(result)[:3] == (2, 2, 3 * len("/one/three")), "each address once", result)

        result = run("-n", "5", f"{base}/one", f"{base}/three")
        check_succeeded(result)
        check(summary(result)[:3] == (5, 5, 3 * len("/one/three/one/three/one")), "-n goes round", result)

        unused.bind(("127.0.0.1", 0))  # not listening: refuses
        refusing = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        result = run(f"{base}/one", f"{base}/missing", refusing)
        check(result.status == 1 and summary(result)[:2] == (3, 1), "two of three fail", result)
        check(f"{base}/missing: " in result.err and f"{refusing}: " in result.err, "both are named", result)
        server.shutdown()


check_embedded(100, 1.3)
check_embedded(1000, 2.5)
check_bar(20)
check_own_urls()
check_refused(["-n", "0"], "-n", "'0'", "1 to 100000")
check_refused(["-n", "-5"], "-n", "'-5'")
check_refused(["-n", "12x"], "-n", "'12x'")
check_refused(["-n", "99999999999999999999999"], "-n", "'99999999999999999999999'")
check_refused(["-n"], "-n", "missing")
check_refused(["--fast"], "'--fast'", "usage")

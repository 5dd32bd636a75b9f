"""The tutorial's last program asks many services at once, gives up silent ones, and ends at a signal."""

import os
import pty
import signal
import socket
import subprocess
import time

import sample
from sample import check, check_in_time
from services import Service

HELLO = "5 bytes, checksum 1335831723"


def answers_of_all():
    with Service() as service, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening
        refused = f"127.0.0.1:{closed.getsockname()[1]}"
        done = sample.run(*[service.address] * 200, refused)
    check(sorted(done.lines) == sorted([f"{service.address}: {HELLO}"] * 200 +
                                       [f"{refused}: connect: Connection refused", "201 of 201 checked"]),
          f"a line for each: {done.out!r}")
    check(done.lines[-1] == "201 of 201 checked" and done.status == 0 and not done.err, f"it ends well: {done.err!r}")
    check(1 < service.most_at_once <= 100, f"at most 100 at once, not {service.most_at_once}")


def silent_ones_are_given_up():
    with Service(answer_at_once=False) as silent:
        done = sample.run(*[silent.address] * 150)
    check(done.lines == [f"{silent.address}: too late"] * 150 + ["150 of 150 checked"], f"too late: {done.out!r}")
    check(3.9 <= done.seconds, f"two rounds of two seconds, not {done.seconds:.1f}")
    check_in_time(done.seconds < 10 * sample.SLACK, f"two rounds of two seconds, not {done.seconds:.1f}")


def read_line(terminal):
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(terminal, 1)
    return line.decode().strip()


def ends_at(number):
    """On a terminal, so that each line comes as it is printed."""
    ours, theirs = pty.openpty()
    with Service() as quick, Service(answer_at_once=False) as silent:
        start = time.monotonic()
        with subprocess.Popen([sample.PROGRAM, quick.address, *[silent.address] * 5], stdin=subprocess.DEVNULL,
                              stdout=theirs, stderr=subprocess.PIPE) as program:
            os.close(theirs)
            first = read_line(ours)
            program.send_signal(number)
            last = read_line(ours)
            err = program.stderr.read()
        seconds = time.monotonic() - start
        os.close(ours)
    check(first == f"{quick.address}: {HELLO}", f"who is quick comes first: {first!r}")
    check(last == "1 of 6 checked" and program.returncode == 1 and not err,
          f"it ends in order: {last!r}, {program.returncode}, {err!r}")
    check_in_time(seconds < 1.9 * sample.SLACK, "it does not wait for the others")


answers_of_all()
silent_ones_are_given_up()
ends_at(signal.SIGINT)
ends_at(signal.SIGTERM)

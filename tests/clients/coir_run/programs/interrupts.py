"""Exceptions from signal handlers end reads, receives and waits for locks: what Ctrl-C needs. The handlers are without SA_RESTART."""

import os
import signal
import socket
import threading


class Interrupted(Exception):
    pass


def interrupt(number, _):
    raise Interrupted(number)


def waits(name, function, *arguments):
    """The alarm's exception ends a wait."""
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        print(name, "went on", function(*arguments))
    except Interrupted as number:
        print(name, "ended by", number)


reader, writer = os.pipe()
left, right = socket.socketpair()
locked = threading.Lock()
locked.acquire()
waits("read", os.read, reader, 1)
waits("readline", os.fdopen(os.dup(reader)).readline)
waits("write", os.write, writer, b"x" * 1_000_000)
waits("recv", left.recv, 1)
waits("send", left.sendall, b"x" * 10_000_000)
waits("accept", socket.create_server(("127.0.0.1", 0)).accept)
waits("lock", locked.acquire)
waits("lock with a timeout", locked.acquire, True, 100)
waits("wait for a thread", threading.Event().wait, 100)
print("done")

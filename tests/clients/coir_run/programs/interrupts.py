"""Exceptions from signal handlers end reads, receives and waits for locks: what Ctrl-C needs. The handlers are without SA_RESTART."""

import os
import socket
import threading

from shared.waits import waits

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

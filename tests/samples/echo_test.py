"""echo: many connections at once, each gets back what it sends; bad arguments are named."""

import contextlib
import re
import selectors
import socket
import subprocess

import sample
from sample import check, check_refused

CLIENTS = 200  # all open at once
ROUNDS = 3


def receive(connection, size):
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        check(part, f"the whole answer comes back, not {len(received)} of {size} bytes")
        received += part
    return received


def connect(clients, port):
    return clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10 * sample.SLACK))


def talk_at_once(port):
    """All connections open; every request is sent before the first answer is read; last connection first."""
    with contextlib.ExitStack() as clients:
        connections = [connect(clients, port) for _ in range(CLIENTS)]
        for round_number in range(ROUNDS):
            requests = [f"{round_number} {i} ".encode() * 50 for i in range(CLIENTS)]
            for connection, request in zip(connections, requests):
                connection.sendall(request)
            for connection, request in reversed(list(zip(connections, requests))):
                check(receive(connection, len(request)) == request, "each connection gets its own bytes")


def talk_much(port):
    """4 MB through one connection, more than the buffers of both sockets hold: reading while sending."""
    data = bytes(range(256)) * 16384
    with socket.create_connection(("127.0.0.1", port), timeout=10 * sample.SLACK) as connection:
        connection.setblocking(False)
        selector = selectors.DefaultSelector()
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        sent, received = 0, bytearray()
        while len(received) < len(data):
            ready = selector.select(10 * sample.SLACK)
            check(ready, f"the big echo goes on, {len(received)} bytes are back")
            if ready[0][1] & selectors.EVENT_WRITE:
                sent += connection.send(data[sent:sent + 65536])
                if sent == len(data):
                    connection.shutdown(socket.SHUT_WR)
                    selector.modify(connection, selectors.EVENT_READ)
            if ready[0][1] & selectors.EVENT_READ:
                part = connection.recv(65536)
                check(part, f"no end before everything is back, {len(received)} bytes are")
                received += part
        check(bytes(received) == data, "the big echo is what was sent")
        connection.setblocking(True)
        connection.settimeout(10 * sample.SLACK)
        check(connection.recv(1) == b"", "after our end comes the server's")


def talk_and_reset(port):
    """A client that leaves rudely, with a reset, disturbs nobody."""
    with socket.create_connection(("127.0.0.1", port), timeout=10 * sample.SLACK) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"x" * 100_000)


with sample.start("0", "--connections", str(CLIENTS + 2)) as server:
    try:
        announced = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", server.stdout.readline())
        check(announced, "the port is printed")
        port = int(announced.group(1))
        talk_much(port)
        talk_and_reset(port)
        talk_at_once(port)
        out, err = server.communicate(timeout=10 * sample.SLACK)
        check(server.returncode == 0 and out == "" and err == "",
              f"ends by itself after its connections: status {server.returncode}, {out!r}, {err!r}")
    except subprocess.TimeoutExpired:
        sample.fail("the server goes on after its last connection")
    finally:
        if server.poll() is None:
            server.kill()

check_refused([], "usage")
check_refused(["70000"], "PORT", "'70000'", "65535")
check_refused(["seven"], "PORT", "'seven'")
check_refused(["0", "--connections", "0"], "--connections", "'0'")

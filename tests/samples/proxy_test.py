"""proxy: bytes and ends pass in both directions, for many connections at once."""

import contextlib
import hashlib
import socket
import socketserver
import subprocess
import threading

import sample
from sample import check, check_refused

CLIENTS = 50
SIZE = 1_000_000


class Digest(socketserver.BaseRequestHandler):
    """Answers, when the client has said all, with the digest of that and with the bytes themselves."""

    def handle(self):
        data = bytearray()
        while part := self.request.recv(65536):
            data += part
        self.request.sendall(hashlib.sha256(data).digest() + data)


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = CLIENTS
    daemon_threads = True


def connect(stack, port):
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10 * sample.SLACK))


def receive_all(connection):
    data = bytearray()
    while part := connection.recv(65536):
        data += part
    return bytes(data)


def talk_at_once(port):
    """All connections are open before the first one ends, and are ended last first."""
    with contextlib.ExitStack() as stack:
        clients = [connect(stack, port) for _ in range(CLIENTS)]
        for i, client in enumerate(clients):
            client.sendall(b"%d" % i)
        for i, client in reversed(list(enumerate(clients))):
            client.shutdown(socket.SHUT_WR)
            sent = b"%d" % i
            check(receive_all(client) == hashlib.sha256(sent).digest() + sent, "each client gets its own answer")


def talk_much(port):
    sent = bytes(range(256)) * (SIZE // 256)
    with contextlib.ExitStack() as stack:
        client = connect(stack, port)
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        check(receive_all(client) == hashlib.sha256(sent).digest() + sent, "a megabyte there and back")


def check_unreachable(address):
    """The client sees the end at once, the proxy says why and goes on."""
    with sample.start("0", address) as proxy:
        try:
            port = int(proxy.stdout.readline().rpartition(":")[2])
            with contextlib.ExitStack() as stack:
                for _ in range(2):
                    check(receive_all(connect(stack, port)) == b"", "no server, no bytes")
            proxy.terminate()
            _, err = proxy.communicate(timeout=10 * sample.SLACK)
            check(proxy.returncode == 0 and err == f"proxy: {address}: Connection refused\n" * 2, f"says why: {err!r}")
        except subprocess.TimeoutExpired:
            sample.fail("the proxy does not end")
        finally:
            if proxy.poll() is None:
                proxy.kill()


with Server(("127.0.0.1", 0), Digest) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sample.serving("0", f"127.0.0.1:{server.server_address[1]}") as port:
        talk_at_once(port)
        talk_much(port)
    server.shutdown()

with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))  # not listening: refuses
    check_unreachable(f"127.0.0.1:{unused.getsockname()[1]}")

check_refused(["0"], "usage")
check_refused(["seven", "127.0.0.1:1"], "PORT", "'seven'")

"""Services on loopback for the tutorial's programs to ask."""

import contextlib
import socket
import threading


class Service:
    """Answers each request with `page` when `answer` is set, and then closes. Use it in a `with`."""

    def __init__(self, page=b"hello", answer_at_once=True):
        self.page, self.answer = page, threading.Event()
        self.lock, self.open, self.most_at_once, self.requests = threading.Lock(), 0, 0, 0
        if answer_at_once:
            self.answer.set()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # ends accept
        self.threads[0].join()
        self.answer.set()
        for thread in self.threads[1:]:
            thread.join()
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self.serve, args=[client]))
                self.threads[-1].start()

    def count(self, change):
        with self.lock:
            self.open += change
            self.requests += change > 0
            self.most_at_once = max(self.most_at_once, self.open)

    def serve(self, client):
        self.count(1)
        counted = True
        with client, contextlib.suppress(OSError):  # a client may leave early
            client.settimeout(60)
            if client.recv(1024).startswith(b"GET / "):
                self.answer.wait(60)
                client.sendall(self.page)
                self.count(-1)  # before the client can know: it may ask again at once
                counted = False
                client.shutdown(socket.SHUT_WR)
                client.recv(1)  # its end
        if counted:
            self.count(-1)

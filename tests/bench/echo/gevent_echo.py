"""The echo server on gevent: a greenlet per connection.

    gevent_echo.py <port> <bufsize>
"""

import signal
import sys

from gevent import socket, spawn

BACKLOG = 4096
LIFE_S = 600  # a server left behind ends by itself


def echo(connection, buffer_size):
    buffer = bytearray(buffer_size)
    view = memoryview(buffer)
    try:
        while received := connection.recv_into(buffer):
            connection.sendall(view[:received])
    except OSError:
        pass
    finally:
        connection.close()


def main(arguments):
    if len(arguments) < 3:
        print(f"usage: {arguments[0]} <port> <bufsize>", file=sys.stderr)
        return 2
    signal.alarm(LIFE_S)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(arguments[1])))
    listener.listen(BACKLOG)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        spawn(echo, connection, int(arguments[2]))


if __name__ == "__main__":
    sys.exit(main(sys.argv))

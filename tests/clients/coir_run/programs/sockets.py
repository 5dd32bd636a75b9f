"""Sockets: TCP, UDP and unix ones, between threads, with timeouts, select, poll, epoll, asyncio and errors."""

import array
import asyncio
import os
import select
import selectors
import socket
import socketserver
import threading
import time


def echo(server):
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


with socket.create_server(("127.0.0.1", 0)) as server:
    serving = start(echo, server)
    with socket.create_connection(server.getsockname()) as client:
        sent = os.urandom(2_000_000)
        sending = start(lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR)))
        received = b"".join(iter(lambda: client.recv(65536), b""))
        print("echo", received == sent)
        sending.join()
    serving.join()
    server.settimeout(0.05)
    begin = time.monotonic()
    try:
        server.accept()
    except TimeoutError as error:
        print(error, time.monotonic() - begin >= 0.049)
    refusing = server.getsockname()
try:
    socket.create_connection(refusing)
except ConnectionRefusedError as error:
    print(error.strerror)


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 50


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


with Server(("127.0.0.1", 0), Upper) as server:
    serving = start(server.serve_forever, 0.01)
    clients = [socket.create_connection(server.server_address) for _ in range(30)]
    for i, client in enumerate(clients):
        client.sendall(f"client {i}\n".encode())
    print([client.makefile().readline().strip() for client in clients])
    for client in clients:
        client.close()
    server.shutdown()
    serving.join()

left, right = socket.socketpair()
left.setblocking(False)
try:
    left.recv(1)
except BlockingIOError as error:
    print(error.strerror, left.getblocking())
reader, writer = os.pipe()
socket.send_fds(right, [b"fd"], [writer])
_, descriptors, _, _ = socket.recv_fds(left, 10, 1)
start(os.write, descriptors[0], b"through the pipe").join()
print(os.read(reader, 100))
print("nothing ready", select.select([left, reader], [], [], 0.05))
threading.Timer(0.05, right.send, [b"late"]).start()
print("ready", [one is left for one in select.select([left, reader], [], [], 30)[0]])
poll = select.poll()
poll.register(left, select.POLLIN)
print("poll", [event for _, event in poll.poll(30_000)], left.recv(10), poll.poll(20))
with select.epoll() as events:
    events.register(left, select.EPOLLIN | select.EPOLLOUT)
    print("epoll", [event for _, event in events.poll(30)])
selector = selectors.DefaultSelector()
selector.register(left, selectors.EVENT_READ)
start(right.close)
print("selector", [event for _, event in selector.select(30)], left.recv(10))
selector.close()
left.close()
for descriptor in (reader, writer, *descriptors):
    os.close(descriptor)

with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
    one.bind(("127.0.0.1", 0))
    threading.Timer(0.02, other.sendto, [b"datagram", one.getsockname()]).start()
    buffer = array.array("b", bytes(100))
    print("datagram", one.recvfrom_into(buffer)[0], buffer.tobytes()[:8])


async def wait(i):
    await asyncio.sleep(0.01 * (i % 3))
    process = await asyncio.create_subprocess_exec("echo", str(i), stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


async def many():
    loop = asyncio.get_running_loop()
    print("asyncio", await asyncio.gather(*(wait(i) for i in range(10))), await loop.run_in_executor(None, len, "four"))


asyncio.run(many())
print("done", sorted({info[4][0] for info in socket.getaddrinfo("127.0.0.1", 80)}), socket.getservbyname("http"))

"""dns: every name gets its addresses, in the order of asking; fifty slow look-ups take the time of one.

The slow name server needs the port 53 and the system's resolver settings, so it has a network and a mount namespace of
its own. Where the kernel does not allow those, the test is skipped after its first part.
"""

import ctypes
import fcntl
import os
import re
import select
import socket
import struct
import sys
import tempfile
import threading
import time

import sample
from sample import check, check_in_time, check_refused, run

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
NAMES = 50
UNKNOWN = "Name or service not known"


def check_answers(names, expected, status, least=0.0, most=5.0):
    result = run(*names)
    check(result.status == status and result.err == "", "status and stderr", result)
    check(result.lines[:-1] == [f"{name}: {answer}" for name, answer in zip(names, expected)],
          f"the answers are {expected}", result)
    summary = re.fullmatch(r"(\d+) of (\d+) found, ([\d.]+) s", result.lines[-1])
    check(summary and int(summary[2]) == len(names), "the last line sums up", result)
    check(least <= float(summary[3]), f"it takes {least} to {most} s", result)
    check_in_time(float(summary[3]) <= most * sample.SLACK, f"it takes {least} to {most} s", result)


def call(function, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{function}: {os.strerror(ctypes.get_errno())}")


def own_namespaces():
    """From here on this process has its own network, and mounts that nobody else sees."""
    user, group = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWNET | CLONE_NEWNS | (CLONE_NEWUSER if user != 0 else 0))
    if user != 0:
        for path, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{path}", "w", encoding="ascii") as file:
                file.write(line)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def replace(folder, path, text):
    """Other content for a file of the system, in this mount namespace."""
    own = os.path.join(folder, os.path.basename(path))
    with open(own, "w", encoding="ascii") as file:
        file.write(text)
    if os.path.exists(path):  # libc's defaults are what the texts say
        call("mount", own.encode(), os.path.realpath(path).encode(), None, MS_BIND, None)


def answer(query):
    """host7.example has the address 127.0.0.7 and none of IPv6; no other name exists."""
    end = query.index(b"\0", 12) + 5
    question, kind = query[12:end], query[end - 4:end - 2]
    found = re.fullmatch(rb"\x05host(\d)|\x06host(\d\d)", question[:question[0] + 1])
    head = struct.pack("!2sHHHHH", query[:2], 0x8180 if found else 0x8183, 1, 0, 0, 0)
    if not found or kind != b"\0\1":
        return head + question
    record = struct.pack("!HHHIH4B", 0xc00c, 1, 1, 60, 4, 127, 0, 0, int(found[1] or found[2]))
    return head[:6] + b"\0\1" + head[8:] + question + record


def serve_slowly(server, stop):
    """Answers each query a second after it came."""
    late = []
    while not stop.is_set():
        wait = max(0.0, late[0][0] - time.monotonic()) if late else 0.1
        if select.select([server], [], [], wait)[0]:
            query, client = server.recvfrom(4096)
            late.append((time.monotonic() + 1, answer(query), client))
        while late and late[0][0] <= time.monotonic():
            _, message, client = late.pop(0)
            server.sendto(message, client)


def check_slow():
    with tempfile.TemporaryDirectory() as folder, socket.socket(type=socket.SOCK_DGRAM) as server:
        replace(folder, "/etc/resolv.conf", "nameserver 127.0.0.1\nsearch .\n")
        replace(folder, "/etc/nsswitch.conf", "hosts: files dns\n")
        server.bind(("127.0.0.1", 53))
        stop = threading.Event()
        thread = threading.Thread(target=serve_slowly, args=(server, stop))
        thread.start()
        try:
            hosts = range(NAMES, 0, -1)
            check_answers([f"host{i}.example" for i in hosts], [f"127.0.0.{i}" for i in hosts], 0, 1.0, 1.8)
            check_answers(["host1.example", "none.example"], ["127.0.0.1", UNKNOWN], 1, 1.0, 4.0)
        finally:
            stop.set()
            thread.join()


long_label = "a" * 64  # no name server is asked for that
check_answers(["127.0.0.1", "::1", long_label, "127.0.0.2"],
              ["127.0.0.1", "::1", UNKNOWN, "127.0.0.2"], 1)
local = {info[4][0]: None for info in socket.getaddrinfo("localhost", None)}
check_answers(["localhost"] * 3, [" ".join(local)] * 3, 0)
check_refused([], "usage")

try:
    own_namespaces()
except OSError as error:
    print(f"skipped: no name server of its own, {error}")
    sys.exit(sample.SKIPPED)
check_slow()

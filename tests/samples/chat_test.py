"""chat: what one guest writes all others get, in order; who does not read is thrown out and holds up nobody."""

import contextlib
import socket

import sample
from sample import check, check_refused

GUESTS = 50


class Guest:
    def __init__(self, stack, port):
        self.connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10 * sample.SLACK))
        self.lines = stack.enter_context(self.connection.makefile("r", encoding="utf-8"))

    def write(self, text):
        self.connection.sendall(text.encode())

    def expect(self, *lines):
        for line in lines:
            read = self.lines.readline()
            check(read == line + "\n", f"{line!r} arrives, not {read!r}")


def enter(stack, port, number):
    """Guests get their numbers in the order of coming, so each is let in before the next one comes."""
    guests = [Guest(stack, port)]
    for i in range(2, number + 1):
        guests.append(Guest(stack, port))
        for guest in guests[:-1]:
            guest.expect(f"* guest {i} has come")
    return guests


def talk(port):
    with contextlib.ExitStack() as stack:
        guests = enter(stack, port, GUESTS)
        guests[0].write("hello\nhow do you ")  # an unfinished line stays with the server
        for guest in guests[1:]:
            guest.expect("guest 1: hello")
        guests[0].write("do?\n")
        for guest in guests[1:]:
            guest.expect("guest 1: how do you do?")
        for i, guest in enumerate(guests[1:], 2):
            guest.write(f"I am {i}\n")
            for other in guests:
                if other is not guest:
                    other.expect(f"guest {i}: I am {i}")
        guests[-1].connection.shutdown(socket.SHUT_WR)
        for guest in guests[:-1]:
            guest.expect(f"* guest {GUESTS} has left")
        check(guests[-1].lines.readline() == "", "who has left hears no more")


def ignore(port):
    """Guest 2 reads nothing; guest 3 gets everything that guest 1 writes."""
    with contextlib.ExitStack() as stack:
        writer, _, reader = enter(stack, port, 3)
        for i in range(10_000):
            line = f"{i} " + "x" * 2000
            writer.write(line + "\n")
            read = reader.lines.readline()
            if read == "* guest 2 has left\n":
                writer.expect("* guest 2 has left")
                return
            check(read == f"guest 1: {line}\n", f"line {i} arrives, not {read[:50]!r}")
        sample.fail("guest 2 is still there")


def stay():
    """Guests who are still there when the server is told to end see the end."""
    with contextlib.ExitStack() as stack:
        with sample.serving("0") as port:
            guests = enter(stack, port, 3)
        for guest in guests:
            while line := guest.lines.readline():
                check(line.endswith(" has left\n"), f"nothing but farewells: {line!r}")


for story in (talk, ignore):
    with sample.serving("0") as port:
        story(port)
stay()

check_refused([], "usage")
check_refused(["70000"], "PORT", "'70000'", "65535")

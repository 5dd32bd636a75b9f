"""The lowest free numbers are the program's, and it may close and replace all that it does not know."""

import os
import threading


def waits(reader, writer):
    """A read that has to wait."""
    threading.Timer(0.02, os.write, (writer, b"x")).start()
    return os.read(reader, 1)


reader, writer = os.pipe()
print("first", waits(reader, writer))
print("numbers", reader, writer, os.dup(0))
for number in range(5, 64):
    os.dup2(0, number)
print("replaced", waits(reader, writer))
os.closerange(5, 4096)
print("closed by ranges", waits(reader, writer))
for number in range(5, 2048):
    try:
        os.close(number)
    except OSError:
        pass
print("closed one by one", waits(reader, writer))
reader, writer = os.pipe()
print("numbers", reader, writer, waits(reader, writer))
print("done")

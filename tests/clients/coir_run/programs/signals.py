"""Signals and time: handlers during waits, timers, masks, sigwait, sleeps, files and their locks."""

import fcntl
import os
import select
import signal
import sys
import tempfile
import threading
import time

from shared.waits import waits

reader, writer = os.pipe()
waits("sleep", time.sleep, 100)
waits("pause", signal.pause)
waits("select", select.select, [reader], [], [], 100)
waits("wait for a child", os.waitpid, os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1"), 0)

# A handler that returns: sleep and read go on.
seen = []
signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
begin = time.monotonic()
time.sleep(0.1)
slept = time.monotonic() - begin >= 0.1
while len(seen) < 3:  # on a busy machine alarms are joined
    signal.pause()
print("slept", slept)
# The other thread inherits this: joined, it may still be about to end, and must not be who takes the signal.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
other = threading.Timer(0.1, os.write, [writer, b"x"])
other.start()
print("read", os.read(reader, 1))
signal.setitimer(signal.ITIMER_REAL, 0)
other.join()

os.kill(os.getpid(), signal.SIGUSR1)
print("pending", signal.sigpending() == {signal.SIGUSR1}, signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1)
print("none", signal.sigtimedwait([signal.SIGUSR1], 0.05))
threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
print("late", signal.sigwaitinfo([signal.SIGUSR1]).si_signo == signal.SIGUSR1)

pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.read(reader, 1)
os.kill(pid, signal.SIGTERM)
print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

begin = time.monotonic()
for _ in range(100):
    time.sleep(0.001)
print("short sleeps", time.monotonic() - begin >= 0.1)

with tempfile.TemporaryFile("w+") as file, open("/dev/zero", "rb") as zeros:
    file.write("line\n" * 100_000)
    file.seek(0)
    print("file", sum(len(line) for line in file), len(zeros.read(1_000_000)))
    pid = os.fork()
    if pid == 0:
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.write(writer, b"locked")
        time.sleep(0.1)
        os.write(writer, b"over")
        os._exit(0)
    print(os.read(reader, 6))
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("lock of a file", os.read(reader, 4), os.waitpid(pid, 0)[1])
print("done", sys.stdin.read())

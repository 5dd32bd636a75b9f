"""Children: their status, pipes in both directions, timeouts, groups, fork with threads, multiprocessing."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time


def child(code, **how):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **how)


print("stdin", sys.stdin.readline().strip(), "|", subprocess.run(["cat"], capture_output=True, check=True).stdout)
print(child("import sys; print(sys.stdin.read()[::-1]); sys.exit(5)", input="forward"))
print("big", len(subprocess.run(["cat"], input=b"x" * 3_000_000, capture_output=True, check=True).stdout))
print("shell", subprocess.getstatusoutput("echo out; echo err >&2; exit 3"), os.system("exit 4"))
with os.popen("tr a-z A-Z | sed s,A,B,", "w") as pipe:
    pipe.write("shouted\n")

begin = time.monotonic()
try:
    child("import time; time.sleep(100)", timeout=0.3)
except subprocess.TimeoutExpired:
    print("timed out", time.monotonic() - begin < 30)

sleeping = subprocess.Popen(["sleep", "100"])
print("runs", sleeping.poll())
sleeping.send_signal(signal.SIGTERM)
print("killed", sleeping.wait(30), sleeping.poll())
try:
    os.waitpid(-1, 0)
except ChildProcessError as error:
    print(type(error).__name__)

crowd = [subprocess.Popen(["sh", "-c", f"sleep 0.05; exit {i}"]) for i in range(20)]
found = [process.wait() for process in crowd]
print("all", found)


def fork_and_wait(status):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.01)
        os._exit(status)
    statuses[status] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


statuses = {}
threads = [threading.Thread(target=fork_and_wait, args=[i]) for i in range(1, 9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("forked", sorted(statuses.items()))

reader, writer = os.pipe()
if os.fork() == 0:
    os.close(reader)
    for part in range(5):
        time.sleep(0.01)
        os.write(writer, b"%d " % part)
    os._exit(0)
os.close(writer)
print("piped", b"".join(iter(lambda: os.read(reader, 100), b"")), os.wait()[1])
os.close(reader)

pid = os.posix_spawnp("sh", ["sh", "-c", "kill -STOP $$; exit 6"], os.environ)
print("stopped", os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))
os.kill(pid, signal.SIGCONT)
print("went on", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

with multiprocessing.get_context("fork").Pool(3) as pool:
    print("pool", sum(pool.map(abs, range(-500, 0))))
queue, lock = multiprocessing.Queue(), multiprocessing.Lock()
with lock:
    waiting = multiprocessing.Process(target=lambda: lock.acquire() and queue.put("got the lock"))
    waiting.start()
    print("waits", waiting.join(0.1), waiting.exitcode)
print(queue.get(timeout=30), waiting.join(30), waiting.exitcode)
print("done", sys.stdin.readline().strip())

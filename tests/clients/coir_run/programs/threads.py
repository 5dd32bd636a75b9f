"""Threads with every kind of lock, queues, a pool, timers and thread-locals."""

import concurrent.futures
import queue
import sys
import threading
import time

count, lock = 0, threading.Lock()


def add():
    global count
    for _ in range(1000):
        with lock:
            count += 1


sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=add) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("counted", count)

jobs, results = queue.Queue(maxsize=3), queue.Queue()


def serve():
    while (job := jobs.get()) is not None:
        time.sleep(0.001)
        results.put(job * job)


workers = [threading.Thread(target=serve) for _ in range(5)]
for worker in workers:
    worker.start()
for job in range(100):
    jobs.put(job)
for _ in workers:
    jobs.put(None)
for worker in workers:
    worker.join()
print("squares", sum(results.get() for _ in range(100)), results.empty())

barrier, condition, ready = threading.Barrier(8), threading.Condition(), []


def meet():
    barrier.wait(30)
    with condition:
        ready.append(1)
        condition.notify_all()


for _ in range(8):
    threading.Thread(target=meet).start()
with condition:
    print("met", condition.wait_for(lambda: len(ready) == 8, 30))

fired, begin = threading.Event(), time.monotonic()
threading.Timer(0.1, fired.set).start()
print("timer", fired.wait(30), time.monotonic() - begin >= 0.1)
print("event times out", threading.Event().wait(0.05), "lock times out", lock.acquire() and lock.acquire(timeout=0.05))
lock.release()

permits, inside, most = threading.Semaphore(3), 0, 0


def enter(_):
    global inside, most
    with permits:
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with lock:
            inside -= 1


with concurrent.futures.ThreadPoolExecutor(10) as pool:
    list(pool.map(enter, range(50)))
    now = threading.Event()
    late = pool.submit(now.wait)
    try:
        late.result(0.05)
    except concurrent.futures.TimeoutError:
        print("the future is late")
    now.set()
    print("at once at most", most if most > 3 else "three", late.result())

recursive, local = threading.RLock(), threading.local()
local.value = "main's"
with recursive, recursive:
    other = threading.Thread(target=lambda: print("recursive", recursive.acquire(timeout=0.05), hasattr(local, "value")))
    other.start()
    other.join()
daemon = threading.Thread(target=time.sleep, args=[1000], daemon=True)
daemon.start()
print("done", local.value, daemon.is_alive())

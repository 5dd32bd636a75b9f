"""usage: fuzz.py THREADS_PROGRAM FIBERS_PROGRAM [COIR_RUN] [--seed N] [--seconds S | --calls N] [--jobs J]
                 [--hosts NAME,...] [--replay FILE] [--keep-going]

Makes random programs of libc calls, runs each on plain threads and on fibers, and tells where what the calls returned
on fibers is nothing that threads ever showed. What is found is shrunk to the fewest calls that show it and printed as
--replay takes it. Hosts: fibers-epoll, fibers-uring, always-epoll, always-uring. The same seed makes the same
programs. Exit status 1 if a difference was found.
"""

import argparse
import collections
import concurrent.futures
import itertools
import os
import random
import subprocess
import sys
import threading
import time

Step = collections.namedtuple("Step", "flow call arguments")

SIZES = [0, 1, 2, 5, 8, 100, 4096, 70000, 300000]
SLOTS, THINGS = 8, 3
# How often each is chosen, where that is not 1.
WEIGHTS = {
    "socketpair": 3, "pipe": 2, "read": 5, "recv": 4, "write": 5, "send": 3, "poll": 2, "close": 2, "shutdown": 2,
    "splice": 2, "setsockopt": 2, "take_all_numbers": 0.1, "give_numbers_back": 0.2, "raise": 0.5,
    "fork": 0.7, "waitpid": 1.5, "kill_child": 0.5, "mutex_lock": 1.5, "mutex_unlock": 2, "sem_wait": 1.5,
    "sem_post": 2, "cond_signal": 1.5, "fifo": 1.5, "listen": 1.5, "connect": 2, "accept": 2,
}
# What a call makes of its new descriptors, for who is to use them.
MAKES = {
    "socketpair": "socket", "pipe": "pipe", "udp": "socket", "eventfd": "eventfd", "file": "file", "fifo": "pipe",
    "listen": "listener", "connect": "socket", "accept": "socket", "accept4": "socket", "epoll": "epoll",
    "dup": "any", "receive_descriptor": "any",
}
# What a call is meant for; mostly it gets that.
WANTS = {
    "accept": "listener", "accept4": "listener", "connect": "listener", "epoll_add": "epoll", "epoll_del": "epoll",
    "epoll_wait": "epoll", "send_descriptor": "socket", "receive_descriptor": "socket", "shutdown": "socket",
    "recv": "socket", "recvfrom": "socket", "recvmsg": "socket", "recvmmsg": "socket", "send": "socket",
    "sendmsg": "socket", "sendmmsg": "socket", "setsockopt": "socket", "splice": "pipe", "tee": "pipe",
    "file_text": "file", "pread": "file", "lseek": "file",
}


class Maker:
    """Makes programs of the calls that the interpreter tells of."""

    def __init__(self, interpreter):
        told = subprocess.run([interpreter, "--list"], capture_output=True, text=True, check=True).stdout
        self.calls = {}
        for line in told.splitlines():
            name, arguments = line.split("\t")
            self.calls[name] = arguments.split()
        self.names = list(self.calls)
        self.weights = [WEIGHTS.get(n, 1) for n in self.names]

    def make(self, seed):
        r = random.Random(seed)
        flows = r.randint(2, 5)
        kinds = {}
        steps = []
        things = r.randint(1, THINGS)
        sizes = r.sample(SIZES, 3)
        for n in range(r.randint(6, 36)):
            if n < 2 or (not kinds and r.random() < 0.7):
                name = r.choice([m for m in MAKES if m not in ("dup", "receive_descriptor", "accept", "accept4", "connect")])
            else:
                name = r.choices(self.names, self.weights)[0]
            wanted = WANTS.get(name)
            arguments = []
            for kind in self.calls[name]:
                if kind == "new":
                    free = [s for s in range(SLOTS) if s not in kinds]
                    slot = r.choice(free) if free and r.random() < 0.95 else r.randrange(SLOTS)
                    kinds[slot] = MAKES[name]
                    arguments.append(slot)
                elif kind == "fd":
                    fitting = [s for s, k in kinds.items() if wanted is None or k in (wanted, "any")]
                    any_of = fitting if fitting and r.random() < 0.9 else list(kinds) or [0]
                    arguments.append(r.choice(any_of) if r.random() < 0.97 else r.randrange(SLOTS))
                    wanted = None
                elif kind == "size":
                    arguments.append(r.choice(sizes))
                elif kind == "thing":
                    arguments.append(r.randrange(things))
                else:
                    low, high = kind.split("-")
                    arguments.append(r.randint(int(low), int(high)))
            steps.append(Step(r.randrange(flows), name, tuple(arguments)))
        return steps


def lines_of(steps):
    return [" ".join(map(str, (s.flow, s.call, *s.arguments))) for s in steps]


def flows_of(steps):
    return max((s.flow for s in steps), default=0) + 1


def as_text(steps, calm_us, slow=0):
    return "\n".join([f"program {flows_of(steps)} {calm_us} {slow}", *lines_of(steps), "end", ""])


class Interpreter:
    """A process that runs programs one after the other."""

    def __init__(self, command, environment):
        self.command, self.environment = command, environment
        self.process = None

    def run(self, text):
        for _ in range(2):
            if self.process is None:
                self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                stderr=subprocess.DEVNULL, text=True, errors="replace",
                                                env=self.environment)
            try:
                self.process.stdin.write(text)
                self.process.stdin.flush()
                told = []
                for line in self.process.stdout:
                    if line == "end\n":
                        return "".join(told)
                    told.append(line)
            except BrokenPipeError:
                pass
            self.close()
        return "the interpreter ended\n"

    def close(self):
        if self.process is None:
            return
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.process = None


class Hosts:
    """Interpreters for each host; at most `jobs` programs run at a time."""

    def __init__(self, threads, fibers, coir_run, jobs):
        self.commands = {"plain": ([threads], {})}
        for reactor in ("epoll", "uring"):
            self.commands[f"fibers-{reactor}"] = ([fibers], {"COIR_REACTOR": reactor})
            if coir_run:
                self.commands[f"always-{reactor}"] = ([coir_run, "--always", "--", threads], {"COIR_REACTOR": reactor})
        self.idle = {host: [] for host in self.commands}
        self.lock = threading.Lock()
        self.room = threading.Semaphore(jobs)
        self.room_for_slow = threading.Semaphore(2)

    def run(self, host, steps, calm_us, slow=0):
        with self.lock:
            interpreter = self.idle[host].pop() if self.idle[host] else None
        if interpreter is None:
            command, extra = self.commands[host]
            interpreter = Interpreter(command, {**os.environ, **extra})
        for _ in range(6):
            with self.room if slow == 0 else self.room_for_slow:
                told = interpreter.run(as_text(steps, calm_us, slow))
            if told != LATE:
                break
        with self.lock:
            self.idle[host].append(interpreter)
        return told

    def close(self):
        for interpreters in self.idle.values():
            for interpreter in interpreters:
                interpreter.close()


USUAL_CALM, LONG_CALM = 200, 2000
LONGEST_SHRINK_S = 40
LATE, HUNG = "late\n", "hung\n"


class Judge:
    def __init__(self, hosts, names, jobs):
        self.hosts, self.names = hosts, names
        self.late = 0  # programs that the machine was too slow for
        self.at_once = concurrent.futures.ThreadPoolExecutor(jobs)

    def suspects(self, steps, calm_us=USUAL_CALM):
        """The hosts that showed what threads did not in as many runs."""
        plain = self.hosts.run("plain", steps, calm_us)
        shown = {name: self.hosts.run(name, steps, calm_us) for name in self.names}
        if LATE in (plain, *shown.values()):
            self.late += 1
        return [name for name in self.names if plain not in (LATE, HUNG) and shown[name] not in (plain, LATE)]

    def differs(self, host, steps, brief=False):
        """What a host showed in three runs and threads never in many, patiently; None if there is no such thing."""
        seen = list(self.at_once.map(lambda _: self.hosts.run(host, steps, LONG_CALM), range(3)))
        if LATE in seen:
            return None
        # Threads in their own time, in a hurry, with much patience, and with each flow as the last or the first.
        alone = [1 << flow for flow in range(flows_of(steps))]
        others = [sum(alone) - one for one in alone]
        ways = [[(USUAL_CALM, 0)] * 3, [(LONG_CALM, 0)] * 6, [(LONG_CALM, slow) for slow in (*alone, *others)],
                [(2 * LONG_CALM, 0)] * 3 + [(LONG_CALM, 0)] * 6]
        plain = set()
        for some in ways[:2] if brief else ways:
            plain.update(self.at_once.map(lambda way: self.hosts.run("plain", steps, *way), some))
            if HUNG in plain or any(told in plain for told in seen):
                return None
        plain.discard(LATE)
        return (max(seen, key=seen.count), sorted(plain, key=len)[0]) if plain else None

    def shrink(self, host, steps):
        """The fewest calls that still differ, and what `differs` says of them; None for that if it was chance."""
        found = self.differs(host, steps)
        if found is None:
            return steps, None
        fewest = steps
        size = max(1, len(steps) // 2)
        until = time.monotonic() + LONGEST_SHRINK_S
        while size >= 1:
            at = 0
            while at < len(fewest) and time.monotonic() < until:
                fewer = fewest[:at] + fewest[at + size:]
                if fewer and self.differs(host, fewer, brief=True):
                    fewest = fewer
                else:
                    at += size
            size //= 2
        less = self.differs(host, fewest)
        return (fewest, less) if less else (steps, found)


def report(host, seed, steps, found):
    theirs, plain = found
    print(f"seed {seed} differs on {host}:\n{as_text(steps, USUAL_CALM)}\non threads, for one:\n{plain}\n"
          f"on {host}:\n{theirs}", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("threads")
    parser.add_argument("fibers")
    parser.add_argument("coir_run", nargs="?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--hosts")
    parser.add_argument("--replay")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()

    hosts = Hosts(options.threads, options.fibers, options.coir_run, options.jobs)
    names = options.hosts.split(",") if options.hosts else [n for n in hosts.commands if n != "plain"]
    judge = Judge(hosts, names, options.jobs)
    maker = Maker(options.threads)
    if options.replay:
        with open(options.replay, encoding="utf-8") as file:
            lines = [line.split() for line in file if line.strip() and line.split()[0].isdigit()]
        steps = [Step(int(w[0]), w[1], tuple(map(int, w[2:]))) for w in lines]
        for name in ["plain", *names]:
            print(f"--- {name}\n{hosts.run(name, steps, LONG_CALM)}")
        hosts.close()
        return 0

    until = time.monotonic() + options.seconds
    calls = programs = found = 0
    lock = threading.Lock()
    kinds = set()
    seeds = itertools.count(options.seed)

    def one(seed):
        nonlocal calls, programs, found
        steps = maker.make(seed)
        for name in judge.suspects(steps):
            small, what = judge.shrink(name, steps)
            if what is None:
                continue
            kind = (name, tuple(sorted(s.call for s in small)))
            with lock:
                if kind not in kinds:
                    kinds.add(kind)
                    found += 1
                    report(name, seed, small, what)
        with lock:
            calls += len(steps)
            programs += 1

    def some():
        while options.keep_going or found == 0:
            if calls >= options.calls if options.calls else time.monotonic() > until:
                return
            with lock:
                seed = next(seeds)
            one(seed)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        going = [pool.submit(some) for _ in range(options.jobs)]
        while concurrent.futures.wait(going, 20).not_done:
            print(f"{calls} calls in {programs} programs so far, {found} differences", file=sys.stderr, flush=True)
        for one_of_them in going:
            one_of_them.result()
    hosts.close()
    print(f"{calls} calls in {programs} programs on each of {', '.join(names)}, {judge.late} of them too late "
          f"for their limits: {found} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

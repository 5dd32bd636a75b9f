"""python: threads, locks, children, sockets, select, files, signals and time, each in a program of its own, and the ways in
which a program ends."""

import os
import pathlib
import re
import subprocess
import sys

from compare import COIR_RUN, PATCHED, fail, same

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
ENDS = {"raise SystemExit(7)": 7, "import os; os._exit(8)": 8, "import os; os.abort()": -6,
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": -15, "1 / 0": 1}

for program in sorted(PROGRAMS.glob("*.py")):
    print(program.name)
    same(sys.executable, str(program), stdin="a line\nanother\n", out="done")
for program, status in ENDS.items():
    same(sys.executable, "-c", f"print('begun', flush=True); {program}", status=status, out="begun")

# Its own handler of a crash, on its own stack, set after coir's or before, alone and with another behind it.
CRASHES = {"time.sleep(0.01); faulthandler.enable(); faulthandler._sigsegv()": -11,
           "faulthandler.enable(); time.sleep(0.01); os.kill(os.getpid(), signal.SIGBUS)": -7,
           "signal.signal(signal.SIGSEGV, lambda *_: print('caught', flush=True)); time.sleep(0.01); "
           "os.kill(os.getpid(), signal.SIGSEGV); time.sleep(0.01); faulthandler.enable(); faulthandler.disable(); "
           "os.kill(os.getpid(), signal.SIGSEGV); time.sleep(0.01); faulthandler.enable(); faulthandler._sigsegv()": 0}
for crash, status in CRASHES.items():
    same(sys.executable, "-c", f"import faulthandler, os, signal, time; {crash}", status=status,
         err="most recent call first", normalise=lambda text: re.sub("0x[0-9a-f]+", "0x...", text))

# The descriptor of the reactor shows that it is coir that waits, and how.
REACTORS = {"epoll": "anon_inode:[eventpoll]", "uring": "anon_inode:[io_uring]"}
chosen = os.environ.get("COIR_REACTOR")
wanted = [] if not os.environ.get("COIR_PATCH_ALWAYS") else [REACTORS[chosen]] if chosen else list(REACTORS.values())
SHOW = """
import os, select
select.select([os.pipe()[0]], [], [], 0.01)
for number in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
"""
found = subprocess.run([COIR_RUN, sys.executable, "-c", SHOW], env=PATCHED, capture_output=True, text=True, check=True)
reactors = [line for line in found.stdout.splitlines() if line in REACTORS.values()]
if len(reactors) != bool(wanted) or not set(reactors) <= set(wanted):
    fail(f"expected one of {wanted or 'no reactor'} among\n{found.stdout}")

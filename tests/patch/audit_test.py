"""usage: audit_test.py SCENARIOS WITHOUT_PATCH ESCAPES

COIR_AUDIT=1 reports what makes a fiber's thread wait outside the patch, once per place, and disturbs nothing. Exit
status 77 (skipped): the kernel has no Syscall User Dispatch.
"""

import re
import shutil
import subprocess
import sys

from scenario import expect, run

PROGRAM, WITHOUT_PATCH, ESCAPES = sys.argv[1:]
WAITING = {"nanosleep", "clock_nanosleep", "rt_sigtimedwait", "select", "pselect6", "futex_waitv", "futex", "io_getevents",
           "io_pgetevents", "io_uring_enter", "open", "openat2", "creat", "semtimedop", "msgrcv", "flock", "waitid", "wait4"}


def audited(name):
    return run(PROGRAM, name, COIR_AUDIT="1")


first = audited("escapes")
if "no Syscall User Dispatch" in first.stderr:
    print(first.stderr)
    sys.exit(77)


def one_report(text):
    """One, though the loop came by three times."""
    heads = [line for line in text.splitlines() if line.startswith("coir: audit:")]
    return (len(heads) == 1 and "clock_nanosleep" in heads[0] and '"culprit"' in heads[0]
            and any("usleep+" in line for line in text.splitlines()))


expect(first, "a sleep that escaped the patch is reported, with fiber and stack", err=one_report)


def names_function(text, function):
    """addr2line, given what the lines of the stack say, finds it."""
    for path, address in re.findall(r"^    (\S+) (0x[0-9a-f]+)", text, re.M):
        if path.endswith("/patch_scenarios"):
            found = subprocess.run(["addr2line", "-C", "-f", "-e", path, address], capture_output=True, text=True, check=True)
            if function in found.stdout:
                return True
    return False


if shutil.which("addr2line"):
    expect(first, "addr2line takes the addresses", err=lambda text: names_function(text, "sleep_in_libc"))


def all_are_reported(text):
    seen = set(re.findall(r"^coir: audit: (\w+) makes", text, re.M))
    print("not seen:", WAITING - seen, "and besides:", seen - WAITING)
    return seen | no_uring == WAITING and text.count("coir: audit: futex makes") >= 3


for _ in range(3):  # on a busy machine what a call is to wait for may be there before it begins
    every = run(ESCAPES, "waits", COIR_AUDIT="1")
    no_uring = {"io_uring_enter"} if "no io_uring" in every.stdout else set()
    if all_are_reported(every.stderr):
        break
expect(every, "every kind of call that waits is reported", err=all_are_reported)
expect(run(ESCAPES, "passes", COIR_AUDIT="1"), "and none of them where it would not wait", err="")

expect(run(PROGRAM, "escapes"), "without the variable nothing is said", err="")
expect(audited("escapes_on_purpose"), "what scoped_off lets through is none of its business", err="")
expect(audited("lives_on"), "threads, processes, handlers and masks are as ever", out="forked 7\nhandled 2\n", err="")
expect(run(WITHOUT_PATCH, ""), "a program without coir-patch is left in peace", err="")
expect(run(WITHOUT_PATCH, "", COIR_AUDIT="1"), "one without coir-patch is told so, and what makes its fibers wait",
       err=lambda text: "coir-patch is not linked" in text.partition("\n")[0] and one_report(text.partition("\n")[2]))
# What is patched does not escape.
expect(audited("categories"), "patched calls are not reported", err="")

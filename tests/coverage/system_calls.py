"""usage: system_calls.py CALLS

Every system call in the kernel headers' tables, that of x86-64 and the one that AArch64 and all newer architectures share, is
one that the audit knows to wait (CALLS, which is lib/posix/waiting_call.cpp), or is listed in system_calls.txt. Exit status 77
(skipped): there are no tables.
"""

import pathlib
import re
import sys

TABLES = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
# Marks of the shared table, and what it has for 32-bit processors alone.
NO_CALL = re.compile(r"_time64$|^(clock|timer|timerfd)_\w+64$|^(fadvise64_|fcntl|fstat|fstatat|fstatfs|ftruncate|lstat|sendfile|"
                     r"stat|statfs|truncate)64$|^(arch_specific_syscall|fstatat|llseek|mmap2|syscalls)$")


def names_of(table):
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)", table.read_text(encoding="utf-8"), re.M)
    return {name for name in found if not NO_CALL.search(name)}


known = set(re.findall(r"COIR_WAITS\((\w+), ", pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))) - {"name"}
listed = set()
for line in pathlib.Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
    if line[:1] not in ("#", "="):
        listed |= set(line.split())
tables = [path for path in map(pathlib.Path, TABLES) if path.is_file()]
if not tables:
    print("skipped: no tables of system calls")
    sys.exit(77)
wrong = 0
if both := known & listed:
    print(f"in waiting_call.cpp and in the list: {' '.join(sorted(both))}")
    wrong = 1
for table in tables:
    if missing := names_of(table) - known - listed:
        print(f"{table}: nobody has looked at {' '.join(sorted(missing))}")
        wrong = 1
if len(known) < 40:
    print("found no calls that wait")
    wrong = 1
sys.exit(wrong)

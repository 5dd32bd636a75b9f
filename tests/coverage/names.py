"""usage: names.py LIBC NAMES_DEF

Every function that libc exports is patched (lib/posix/names.def), deliberately left (left.txt, with the reason), or
known never to wait (never_waits.txt). A new libc's new names fail this test until someone has looked at them. Prints
how many there are of each.
"""

import collections
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
NOT_LIBC = {"__cxa_guard_acquire", "__cxa_guard_release", "__cxa_guard_abort"}  # patched, of the C++ library


def exported(libc):
    listing = subprocess.run(["nm", "-D", "--defined-only", libc], capture_output=True, text=True, check=True).stdout
    # "ADDRESS TYPE NAME@@VERSION"; T, W and i (chosen at run time) are functions.
    return {fields[2].partition("@")[0] for line in listing.splitlines()
            if len(fields := line.split()) == 3 and fields[1] in "TWi"}


def patched(names_def):
    return set(re.findall(r"^COIR_PATCHED\((\w+), \w+\)$", pathlib.Path(names_def).read_text(), re.M))


def left():
    """{name: reason}"""
    result, reason = {}, None
    for line in (HERE / "left.txt").read_text().splitlines():
        if line.startswith("= "):
            reason = line[2:]
        elif not line.startswith("#"):
            result.update(dict.fromkeys(line.split(), reason))
    return result


def main():
    libc, names_def = sys.argv[1:]
    names, ours, left_ones = exported(libc), patched(names_def), left()
    never = set((HERE / "never_waits.txt").read_text().split())
    problems = [f"{name}: not classified: patch it (names.def), or say why not (left.txt), or that it never waits "
                "(never_waits.txt)" for name in sorted(names - ours - never - left_ones.keys())]
    for first, second, what in ((ours, never, "patched and in never_waits.txt"),
                                (ours, left_ones.keys(), "patched and in left.txt"),
                                (left_ones.keys(), never, "in left.txt and in never_waits.txt")):
        problems += [f"{name}: both {what}" for name in sorted(first & second)]
    if len(names) < 1500:
        problems.append(f"{libc}: only {len(names)} functions: not glibc?")
    problems += [f"{name}: patched, but libc has no such function" for name in sorted(ours - names - NOT_LIBC)]
    print(f"{len(names)} functions of libc: {len(ours & names)} patched, {len(left_ones.keys() & names)} left, "
          f"{len(never & names)} never wait")
    for reason, count in collections.Counter(left_ones[n] for n in left_ones.keys() & names).most_common():
        print(f"  left, {count:3}: {reason}")
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


main()

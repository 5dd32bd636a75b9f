"""usage: audit_test.py SCENARIOS WITHOUT_PATCH

COIR_AUDIT=1 reports what makes a fiber's thread wait outside the patch, once per place, and disturbs nothing. Exit
status 77 (skipped): the kernel has no Syscall User Dispatch.
"""

import sys

from scenario import expect, run

PROGRAM = sys.argv[1]


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
            and any("sleep+" in line for line in text.splitlines()))


expect(first, "a sleep that escaped the patch is reported, with fiber and stack", err=one_report)
expect(run(PROGRAM, "escapes"), "without the variable nothing is said", err="")
expect(audited("escapes_on_purpose"), "what scoped_off lets through is none of its business", err="")
expect(audited("lives_on"), "threads, processes, handlers and masks are as ever", out="forked 7\nhandled 2\n", err="")
expect(run(sys.argv[2], ""), "a program without coir-patch is left in peace", err="")
expect(run(sys.argv[2], "", COIR_AUDIT="1"), "one without coir-patch is told so, and what makes its fibers wait",
       err=lambda text: "coir-patch is not linked" in text.partition("\n")[0] and one_report(text.partition("\n")[2]))
# What is patched does not escape.
expect(audited("categories"), "patched calls are not reported", err="")

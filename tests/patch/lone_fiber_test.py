"""usage: lone_fiber_test.py LONE_FIBER

A thread whose main fiber is its only one: what could end its waits reaches them, and else it stays the only thread.
"""

import sys

from scenario import expect, run

PROGRAM = sys.argv[1]


def all_yes(*names):
    return "".join(f"{name}: yes\n" for name in names)


for always in ({}, {"COIR_PATCH_ALWAYS": "1"}):
    expect(run(PROGRAM, "limits", **always), "limits",
           out=all_yes("with_timeout ends a read", "and a sleep of C++", "and a read of stdio",
                       "what it saw is returned if so asked", "a scope ends a read", "and tells of it",
                       "in the child of a fork too"))
    expect(run(PROGRAM, "signal", **always), "on_signal", out=all_yes("on_signal stops an accept"))
    expect(run(PROGRAM, "post", **always), "post", out=all_yes("a post runs while main reads"))
    expect(run(PROGRAM, "threadless", **always), "no second thread",
           out=all_yes("no thread was needed", "unshare is possible", "a signal ends a wait for any child"))
    expect(run(PROGRAM, "unsubscribes", **always), "an ended subscription", out=all_yes("no thread was needed"))
    expect(run(PROGRAM, "soon", **always), "helpers", out=all_yes("helpers are gone"))
    expect(run(PROGRAM, "jumps", **always), "jumps out of handlers",
           out=all_yes("a wait for any child", "a join", "the patch is in force", "the thread may be cancelled"))
    expect(run(PROGRAM, "cancels", **always), "pthread_cancel", out=all_yes("fsync", "msgrcv"))

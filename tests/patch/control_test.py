"""usage: control_test.py SCENARIOS

COIR_PATCH, COIR_PATCH_ALWAYS and coir::patch::scoped_off switch what they say, and nothing else.
"""

import sys

from scenario import expect, run

PROGRAM = sys.argv[1]
CATEGORIES = ["time", "io", "threads", "processes", "names", "files", "stdio"]


def categories(patched):
    return "".join(f"{name}: {'yes' if name in patched else 'no'}\n" for name in CATEGORIES)


expect(run(PROGRAM, "categories"), "all are patched", out=categories(CATEGORIES))
expect(run(PROGRAM, "categories", COIR_PATCH="all"), "all", out=categories(CATEGORIES))
expect(run(PROGRAM, "categories", COIR_PATCH="-all"), "-all", out=categories([]))
expect(run(PROGRAM, "categories", COIR_PATCH="all,-signals"), "all,-signals", out=categories(CATEGORIES))
for name in CATEGORIES:
    expect(run(PROGRAM, "categories", COIR_PATCH=f"-{name}"), f"-{name}",
           out=categories([other for other in CATEGORIES if other != name]))
    expect(run(PROGRAM, "categories", COIR_PATCH=name), name, out=categories([name]))

expect(run(PROGRAM, "scoped"), "scoped_off",
       out="before: yes\ninside: no\nnested: no\nafter: yes\nbeside: yes\ninside, after a wait: no\n"
           "after an exception: yes\n")

expect(run(PROGRAM, "signals"), "on_signal",
       out="a sleep is cut short: no\nby a handler that was there: yes\nwhich was called: yes\nboth were called: yes\n"
           "and may wait: yes\nchildren are waited for: yes\nand told of: yes\n")

for name, said in (("overflows", "stack overflow in fiber #"),
                   ("leaves_a_thread", '"main", which cannot be made to leave pthread_join'),
                   ("leaves_a_join", '"main", which cannot be made to leave join')):
    expect(run(PROGRAM, name), name, status=-6, err=lambda text: said in text)
expect(run(PROGRAM, "chained_jumps", COIR_PATCH_ALWAYS="1"), "on_signal beside a jump", out="jumped 5, told 5\n")

expect(run(PROGRAM, "always"), "one fiber is not patched", out="main: no\nthread: no\n")
expect(run(PROGRAM, "always", COIR_PATCH_ALWAYS="1"), "always", out="main: yes\nthread: yes\n")
expect(run(PROGRAM, "always", COIR_PATCH_ALWAYS="0"), "not always", out="main: no\nthread: no\n")

for variable, value, expected in (("COIR_PATCH", "io,tmie", "tmie"), ("COIR_PATCH", "io,,time", "io,,time"),
                                  ("COIR_PATCH_ALWAYS", "yes", "0 or 1"), ("COIR_AUDIT", "2", "0 or 1")):
    expect(run(PROGRAM, "scoped", **{variable: value}), f"{variable}={value}", status=2, out="",
           err=lambda text: variable in text and f"'{value}'" in text and expected in text)

expect(run(PROGRAM, "large_frame"), "a frame over the guard", status=-6, out="",
       err=lambda text: 'stack overflow in fiber #' in text and '"reader"' in text and "COIR_STACK_SIZE" in text)
expect(run(PROGRAM, "large_frame", COIR_STACK_SIZE="1M"), "a frame with room", out="read 7\n")
expect(run(PROGRAM, "foreign_stack"), "a stack of the program's own", out="others run: yes\ngoes on: yes\n")

expect(run(PROGRAM, "at_once"), "calls that need not wait",
       out=lambda text: text.count(": yes\n") > 20 and ": no\n" not in text)
expect(run(PROGRAM, "plugin"), "plugins", out="first: yes\nothers ran meanwhile: yes\nsecond: yes\nthird: yes\n")
expect(run(PROGRAM, "plugin_by_path"), "plugins by the caller's search path", out="first: yes\nsecond: yes\n")

"""hello_world: ten hellos, then ten worlds, in three seconds."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines[:10] == [f"{i} hello" for i in range(10)], "first ten hellos, in order", result)
check(sorted(result.lines[10:]) == [f"{i} world" for i in range(10)], "then ten worlds", result)
check_took(result, 3.0, 4.0)

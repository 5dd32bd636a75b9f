"""task: the task begins when main yields, main goes on while it waits, then has its result."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines == ["Hello from the task", "Main is doing other things...", "Task is all done"],
      "the three lines in order", result)
check_took(result, 1.0, 2.0)

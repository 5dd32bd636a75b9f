"""apply_async: the call runs while main goes on, its callback is called, and its value comes back."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines == ["Hello from the task", "Main is doing other things...", "Task is all done: result of the task"],
      "the three lines in order, and the value", result)
check_took(result, 1.0, 2.0)

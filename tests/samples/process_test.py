"""process: main's other things are done while it waits for the child, once, and the child's status arrives."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines == ["Hello from the process", "Main is doing other things...", "Process is all done: 42"],
      "the three lines in order", result)
check_took(result, 1.0, 2.0)

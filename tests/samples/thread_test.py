"""thread: main's other things are done while it joins the thread."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines == ["Hello from the thread", "Main is doing other things...", "Thread is all done"],
      "the three lines in order", result)
check_took(result, 1.0, 2.0)

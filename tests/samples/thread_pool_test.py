"""thread_pool: a thread of the pool works while main goes on, and its result comes back."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines == ["Hello from the thread", "Main is doing other things...", "Thread is all done: 42"],
      "the three lines in order, and the value", result)
check_took(result, 1.0, 2.0)

"""process_pool: main's other things are done while a worker computes, the result arrives, and a crash is named."""

from sample import check, check_succeeded, run

result = run()
check_succeeded(result)
# Into a pipe the worker writes at the end of its call, main at its own end.
check(result.lines == ["Hello from the process", "Main is doing other things...", "Process is all done: 524",
                       "A worker killed by SIGSEGV"],
      "the lines in order", result)

"""locks: fibers that wait for a lock let the others run, and each lock admits whom it should."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines[:-1] == [
    "mutex: 100 fibers overtook its sleeping owner",
    "shared mutex: 201 readers at once",
    "semaphore: at most 10 inside",
], "who got in", result)
check_took(result, 0.3, 2.0)

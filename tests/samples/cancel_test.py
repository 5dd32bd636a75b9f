"""cancel: everything a cancelled task holds is released, innermost first, before its handle says so."""

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(result.lines == [
    "  database opened",
    "  transaction opened",
    "  file opened",
    "cancelling worker",
    "  transaction closed",
    "  rolled back",
    "  database closed",
    "worker is cancelled",
    "cancelling old_code",
    "  sleep interrupted, more than 59 min left",
    "  file closed",
    "old_code is cancelled",
    "cancelling never begun",
    "never begun is cancelled",
], "the order of clean-up", result)
check_took(result, 0.0, 1.0)

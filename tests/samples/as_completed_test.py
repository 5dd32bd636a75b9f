"""as_completed: results in the order of finishing; one task fails, the others do not; five at once."""

from sample import check, check_in_time, check_succeeded, check_took, run

result = run()
check_succeeded(result)
by_handle = ["task D took 1 tenths", "task B took 2 tenths", "task X failed", "task E took 4 tenths",
             "task A took 5 tenths"]
# E and F are done at 1 and 2 tenths, so G begins at 2 and H at 3, when B is done.
by_result = ["task E took 1 tenths", "task F took 1 tenths", "task B took 3 tenths", "task D took 5 tenths",
             "task G took 4 tenths", "task C took 7 tenths", "task H took 5 tenths", "task A took 9 tenths"]
expected = ["five tasks, by handle:", *by_handle,
            "eight tasks, by result, never more than five at once:", *by_result]
check(sorted(result.lines) == sorted(expected), "every result comes once", result)
check_took(result, 1.4, 2.5)
check_in_time(result.lines == expected, "results come in the order of finishing, which are a tenth apart", result)

"""pipeline: the output of each pipeline, in the order of asking, in the time of the slowest."""

from sample import check, check_succeeded, check_took, run

counts = "".join(f"{count:>7} {digit}\n" for digit, count in enumerate([1111] + [111] * 8, 1))
zeros = "".join("0" * n + "\n" for n in range(6))

result = run()
check_succeeded(result)
outputs = result.out.split("--\n")
check(outputs[:-1] == [counts, "99999\n100000\n", zeros], "what the three pipelines write", result)
check(result.lines[-1].endswith(" s"), "then the time", result)
check_took(result, 1.0, 2.0)

"""cpu_hog: the ticker's longest pause is far shorter when the computation yields."""

import re

from sample import check, check_succeeded, run

result = run()
check_succeeded(result)
found = re.fullmatch(r"without yield: longest pause of the ticker ([\d.]+) ms \(answer 837799\)\n"
                     r"with yield:    longest pause of the ticker ([\d.]+) ms \(answer 837799\)\n",
                     result.out)
check(found, "a pause without and one with yield, and the same right answer", result)
without, with_yield = map(float, found.groups())
check(with_yield * 5 <= without, "with yield the longest pause is at most a fifth", result)

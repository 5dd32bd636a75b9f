"""cpu_hog: the ticker's longest pause is far shorter when the computation yields, or runs on another thread."""

import re

from sample import check, check_in_time, check_succeeded, run

result = run()
check_succeeded(result)
found = re.fullmatch(r"without yield: longest pause of the ticker ([\d.]+) ms \(answer 837799\)\n"
                     r"with yield:    longest pause of the ticker ([\d.]+) ms \(answer 837799\)\n"
                     r"offloaded:     longest pause of the ticker ([\d.]+) ms \(answer 837799\)\n",
                     result.out)
check(found, "a pause each, and the same right answer", result)
without, with_yield, offloaded = map(float, found.groups())
check_in_time(with_yield * 5 <= without, "with yield the longest pause is at most a fifth", result)
check_in_time(offloaded * 5 <= without, "offloaded, too", result)

"""buffer: nothing that goes through the buffer is lost or doubled."""

import re

from sample import check, check_succeeded, check_took, run

result = run()
check_succeeded(result)
check(re.fullmatch(r"sum 1020100, [\d.]+ s\n", result.out), "202 times the sum from 1 to 100", result)
check_took(result, 0.0, 2.0)

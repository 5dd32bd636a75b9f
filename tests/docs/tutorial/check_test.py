"""The tutorial's own test passes."""

import sample
from sample import check

done = sample.run()
check(done.lines and all(line.startswith("ok: ") for line in done.lines), f"each line is ok: {done.out!r}")
check(done.status == 0 and not done.err, f"it ends well: {done.status}, {done.err!r}")

"""The tutorial's first program asks one service after the other, and tells of errors."""

import sample
from sample import check
from services import Service

with Service(b"hello") as first, Service(b"hello, world") as second:
    done = sample.run(first.address, second.address, "nowhere")
    check(done.lines == [f"{first.address}: 5 bytes", f"{second.address}: 12 bytes", "nowhere: not HOST:PORT"],
          f"the answers in the order of asking: {done.out!r}")
    check(done.status == 0 and not done.err, f"it ends well: {done.status}, {done.err!r}")

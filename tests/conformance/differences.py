"""The documented differences: rows that see something else on fibers than on threads, and why that is right.

A row listed here still has to keep its hard expectations, and has to differ: a difference that is gone is an error
too, so the table stays true. docs/semantics.md tells each difference in the same words (tests/coverage/table.py).
"""

FIBERS = ("fibers", "spread")

CLOSE_WAKES = ("closing wakes: who waits for the descriptor, on any thread, gets EBADF (poll: POLLNVAL) before the number can be "
               "used again; the kernel would let it wait on")

DIFFERENCES = {
    "by number: SYS_close, SYS_dup2, SYS_dup3 and SYS_close_range wake as close does": CLOSE_WAKES,
    "by number: mq_close wakes who waits, and the number starts anew": CLOSE_WAKES,
    "by number: splice and sendmmsg look at both ends after a wait": CLOSE_WAKES,
    "close: a waiting accept gets EBADF": CLOSE_WAKES,
    "close: a waiting connect gets EBADF": CLOSE_WAKES,
    "close: a waiting epoll_wait gets EBADF when its own descriptor goes": CLOSE_WAKES,
    "close: a waiting poll says POLLNVAL": CLOSE_WAKES,
    "close: a waiting read gets EBADF": CLOSE_WAKES,
    "close: a waiting select says EBADF": CLOSE_WAKES,
    "freopen: it wakes who waits for the stream's old descriptor": CLOSE_WAKES,
    "close: a waiting send gets EBADF, or the count of what it had sent": CLOSE_WAKES,
    "close: a plain thread closes what a flow waits for": CLOSE_WAKES,
    "close: closefrom wakes too": CLOSE_WAKES,
    "close: dup2, dup3, close_range and fclose wake as close does": CLOSE_WAKES,
    "close: every receiving call gets EBADF": CLOSE_WAKES,
    "close: several waiters of different kinds are all woken": CLOSE_WAKES,
    "close: the number is reused at once; poll, select and epoll_wait do not look at the new file": CLOSE_WAKES,
    "close: the number is reused at once; the old waiter gets nothing of the new file": CLOSE_WAKES,
    "close: the peer sees the end of the stream at once, though a read waited": CLOSE_WAKES,
}


def entry(row):
    """The text of `row`, and the hosts it is for."""
    found = DIFFERENCES[row]
    return found if isinstance(found, tuple) else (found, FIBERS)


def reason(row, host):
    """Why `row` may differ on `host`, or None."""
    return entry(row)[0] if row in DIFFERENCES and host in entry(row)[1] else None

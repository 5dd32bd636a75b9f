"""The documented differences: rows that see something else on fibers than on threads, and why that is right.

A row listed here still has to keep its hard expectations, and has to differ: a difference that is gone is an error
too, so the table stays true.
"""

FIBERS = ("fibers", "spread")

CLOSE_WAKES = "closing wakes: fibers get EBADF (poll: POLLNVAL) where threads wait on as if nothing had happened"

DIFFERENCES = {
    "close: a waiting accept gets EBADF": CLOSE_WAKES,
    "close: a waiting connect gets EBADF": CLOSE_WAKES,
    "close: a waiting epoll_wait gets EBADF when its own descriptor goes": CLOSE_WAKES,
    "close: a waiting poll says POLLNVAL": CLOSE_WAKES,
    "close: a waiting read gets EBADF": CLOSE_WAKES,
    "close: a waiting select says EBADF": CLOSE_WAKES,
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


def reason(row, host):
    """Why `row` may differ on `host`, or None."""
    found = DIFFERENCES.get(row)
    if found is None:
        return None
    text, hosts = found if isinstance(found, tuple) else (found, FIBERS)
    return text if host in hosts else None

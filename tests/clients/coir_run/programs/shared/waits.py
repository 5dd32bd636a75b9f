"""An alarm whose handler throws."""

import signal


class Interrupted(Exception):
    pass


def interrupt(number, _):
    raise Interrupted(number)


def waits(name, function, *arguments):
    """The alarm's exception ends a wait."""
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        print(name, "went on", function(*arguments))
    except Interrupted as number:
        print(name, "ended by", number)

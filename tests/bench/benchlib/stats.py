"""Medians, spreads and ratios. A value that is missing is None, and stays None in whatever is made from it."""

import statistics


def present(values):
    return [v for v in values or [] if v is not None]


def median(values):
    values = present(values)
    return statistics.median(values) if values else None


def spread(values):
    """How far the middle half (of three or fewer: all) of the values reaches from their middle, over the median."""
    values = sorted(present(values))
    middle = median(values)
    if len(values) < 2 or not middle:
        return None
    if len(values) < 4:
        low, high = values[0], values[-1]
    else:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / abs(middle)


def ratio(over, under):
    """The median of the rounds' own ratios: what drifts between rounds falls out."""
    pairs = [(a, b) for a, b in zip(over or [], under or []) if a is not None and b]
    return median([a / b for a, b in pairs])

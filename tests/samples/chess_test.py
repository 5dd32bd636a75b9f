"""chess: 12 hours of games in turn are one hour when they are played at once; 24 boards have a move in 2 minutes."""

import re

import sample
from sample import check, check_in_time, check_succeeded, run

result = run()
check_succeeded(result)
found = re.fullmatch(r"one game: ([\d.]+) minutes, so 24 in turn: ([\d.]+) hours\n"
                     r"24 games at once: first pass ([\d.]+) minutes, all ([\d.]+) hours\n", result.out)
check(found, "two lines of times", result)
for time, exact, what in zip(map(float, found.groups()), (30, 12, 2, 1),
                             ("one game", "24 in turn", "the first pass", "24 at once")):
    expected = f"{what}: {exact} to {exact * 1.2}, not {time}"
    check(exact <= time, expected, result)
    check_in_time(time <= exact * 1.2 * sample.SLACK, expected, result)

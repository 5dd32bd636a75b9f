"""Shells: children in pipelines and in the background, waited for with `wait` and by SIGCHLD; kill, here-documents."""

import concurrent.futures

from compare import same
from servers import find_tool

SCRIPT = r"""
set -u
trap 'echo at the end' EXIT
(exit 3) | cat; echo "pipeline $?"
for i in 1 2 3; do { sleep 0.$i; exit $i; } & jobs="${jobs-} $!"; done
for job in $jobs; do wait $job; echo "job $?"; done
{ sleep 0.1; } & { sleep 0.2; } &
wait; echo "all: $?"
(exit 7) & wait $!; echo "one: $?"
sleep 100 & victim=$!; sleep 0.2
{ kill $victim; wait $victim; } 2>/dev/null; echo "killed: $?"  # dash tells of a signal as its time allows
read -r first <<END
a here-document
END
echo "$first"; printf '%s\n' three words here | while read -r word; do echo "<$word>"; done
x=$(echo inner | tr a-z A-Z); echo "$x"
yes | head -n 3
"""

# The jobs share one position in the log.
LOG = r"""
for job in 1 2 3 4; do
  ( i=0; while [ $i -lt 200 ]; do echo "job $job line $i"; i=$((i + 1)); done ) &
done >log
wait; sort -o log log; wc -l <log
"""

# Each process waits for any child with no thread but its own yet: the first one that it needs starts there. A wake-up
# lost at that moment shows in one of some twenty.
TIMES = 100
PIPELINES = 4  # at a time

for name in "sh", "bash":
    shell = find_tool(name)
    same(shell, "-c", SCRIPT, out="<words>\n")
    same(shell, "-c", LOG, out="800")
    same(shell, "-c", "exec 3<&0; cat <&3 | wc -c", stdin="12345", out="5")


def pipeline(number):
    same(shells[number % 2], "-c", f"echo {number} | cat | wc -c; echo {number}", out=str(number))


shells = [find_tool("sh"), find_tool("bash")]
with concurrent.futures.ThreadPoolExecutor(PIPELINES) as pool:
    list(pool.map(pipeline, range(TIMES)))

"""Shells whose traps run while they wait: in `wait`, `read`, `sleep`, pipelines, subshells, command substitutions.

bash leaves the handler that finds it in `wait` by longjmp, and so does ksh93 in many places.
"""

from compare import same
from servers import find_tool

# What every shell of POSIX has. A trap runs when the command that waits in the foreground has ended; `wait` it ends.
COMMON = r"""
trap 'echo told' USR1
trap 'echo at the end' EXIT
( sleep 0.1; kill -USR1 $$; sleep 0.3 ) & wait $!; echo "interrupted: $(($? > 128))"; wait; echo "all: $?"
( sleep 0.1; kill -USR1 $$ ) & sleep 0.3; echo "slept: $?"
wait
( sleep 0.1; kill -USR1 $$ ) & sleep 0.3 | cat; echo "pipeline: $?"
wait
( sleep 0.1; kill -USR1 $$ ) & x=$(sleep 0.3; echo inner); echo "substituted: $x"
wait
( trap 'echo inner told; exit 4' TERM; sleep 0.5 & wait; echo not reached ) & victim=$!
sleep 0.1; kill -TERM $victim; wait $victim; echo "subshell: $?"
( exit 5 ) & wait $!; echo "job: $?"
i=0; while [ $i -lt 5 ]; do ( sleep 0.02; kill -USR1 $$ ) & wait $!; wait; i=$((i + 1)); done; echo "$i rounds"
trap 'echo the last; exit 3' TERM
( sleep 0.1; kill -TERM $$ ) & wait; echo not reached
"""

BASH = r"""
trap 'echo told' ALRM
( sleep 0.1; kill -ALRM $$; sleep 0.2; exit 6 ) & wait -n; echo "interrupted: $?"; wait -n; echo "next: $?"
trap 'children=$((children + 1))' CHLD
children=0; for i in 1 2 3; do ( sleep 0.0$i ) & wait $!; done; echo "children: $((children >= 3))"
trap - CHLD
( sleep 0.1; kill -ALRM $$ ) & read -t 0.5 line < <(sleep 0.3; echo "a line"); echo "read: $? $line"
wait
coproc { read x; echo "<$x>"; }
( sleep 0.05; kill -ALRM $$ ) & told=$!
echo word >&"${COPROC[1]}"; read -u "${COPROC[0]}" answer; echo "$answer"
wait $told; wait
"""

KSH = r"""
trap 'echo told' ALRM
( sleep 0.1; kill -ALRM $$ ) & read line < <(sleep 0.3; echo "a line"); echo "read: $? $line"
wait
( sleep 0.1; kill -ALRM $$ ) & sleep 0.3; echo "slept: $?"; wait
function f { trap 'echo left f' EXIT; ( exit 9 ) & wait $!; }
f; echo "function: $?"
( sleep 0.05; kill -TERM $$ ) & trap 'echo terminated; exit 8' TERM; sleep 5
"""

for name in "sh", "bash", "ksh":
    same(find_tool(name), "-c", COMMON, status=3, out="5 rounds")
same(find_tool("bash"), "-c", BASH, out="next: 6")
same(find_tool("ksh"), "-c", KSH, status=8, out="function: 9")

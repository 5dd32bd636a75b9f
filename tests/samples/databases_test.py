"""databases: 50 + 50 queries of a second take about a second on one thread; what cannot be reached is named."""

import os
import pathlib
import re
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

import sample
import servers
from sample import check, check_in_time, check_refused, run


def check_queries(postgres, redis):
    with sample.start(postgres, redis) as program:
        try:
            connected = program.stdout.readline()
            threads = len(os.listdir(f"/proc/{program.pid}/task"))  # while the servers take their second
            out, err = program.communicate(timeout=30 * sample.SLACK)
        except subprocess.TimeoutExpired:
            sample.fail("the queries do not end")
        finally:
            if program.poll() is None:
                program.kill()
    check(program.returncode == 0 and err == "", f"status {program.returncode}: {err}")
    check(connected == "100 connections\n", f"all are connected first: {connected!r}")
    found = re.fullmatch(r"100 of 100 answers are right, ([\d.]+) s\n", out)
    check(found, f"all answers are right: {out!r}")
    seconds = float(found[1])
    check(1.0 <= seconds, f"it takes a second, not {seconds}")
    check_in_time(seconds <= 1.5 * sample.SLACK, f"it takes 1 to 1.5 s, not {seconds}")
    return threads


def check_unreachable(postgres, redis, *words):
    result = run(postgres, redis)
    check(result.status == 1 and result.out == "", "a server that is not there is an error", result)
    check(all(word in result.err for word in words), f"which is named: {words}", result)


with servers.Postgres() as postgres, servers.Redis() as redis:
    there = f"host={postgres.folder} port={postgres.port} user=postgres dbname=postgres"
    threads = check_queries(there, str(redis.socket))
    check(threads == 1, f"one thread, not {threads}")
    check_queries(f"host={servers.HOST} port={postgres.port} user=postgres dbname=postgres",
                  f"{servers.HOST}:{redis.port}")
    check_unreachable(there, f"{postgres.folder}/nothing", f"redis at {postgres.folder}/nothing: No such file")
    check_unreachable(there + " dbname=nothing", str(redis.socket), 'database "nothing" does not exist')

check_refused([], "usage")

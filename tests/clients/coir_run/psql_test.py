"""psql: queries, copies, a shell and pipes below it, and its ways to fail."""

import re

from compare import NO_SUCH_HOST, fail, same
from servers import HOST, Postgres, find_tool, free_port

TABLE = """
\\set ON_ERROR_STOP on
set client_min_messages = warning;
drop table if exists words;
create table words (id int primary key, word text);
insert into words select i, md5(i::text) from generate_series(1, 20000) i;
"""

with Postgres() as server:
    psql = [find_tool("psql"), "-X", "-U", "postgres"]
    local = [*psql, "-h", server.folder, "-p", server.port]
    tcp = [*psql, "-h", HOST, "-p", server.port]

    for place in local, tcp:
        same(*place, "-Atc", "select 40 + 2", out="42")
        same(*place, "-c", "select pg_sleep(0.1), 'slow'", out="slow")
        same(*place, stdin=TABLE + "select count(*), sum(length(word)) from words;", out="640000")
        rows = same(*place, "-Atc", "select * from words order by id").out.splitlines()
        if len(rows) != 20000:
            fail(f"{len(rows)} rows")

    # Files, and children that read and write through pipes.
    same(*local, "-c", "\\copy words to 'words.csv' csv", out="COPY 20000")
    same(*local, "-c", "\\copy words to program 'sort -n | head -3'", out="COPY 20000")
    same(*local, stdin="select 'piped' \\g |cat\n\\! echo shell\n\\o out\nselect 'filed';\n", out="shell")
    same(*local, stdin="create temp table t (a int, b text);\n\\copy t from program 'seq -f %g,x 1000' csv\n"
         "copy t from stdin;\n7\tseven\n\\.\nselect sum(a), count(*) from t;\n", out="500507")
    same(*local, "-At", stdin="listen c;\nnotify c, 'hello';\n", out="hello",
         normalise=lambda text: re.sub(r"PID \d+", "PID", text))

    same(*tcp, "-c", "do $$ begin raise notice 'noted'; end $$", err="noted")
    same(*tcp, "-c", "select 1 / 0", status=1, err="division by zero")
    same(*tcp, "-v", "ON_ERROR_STOP=1", stdin="select 1;\nselect * from nothing;\nselect 2;", status=3, err="nothing")
    same(*tcp, "-c", "set statement_timeout = 100", "-c", "select pg_sleep(30)", status=1, err="statement timeout")
    same(*tcp, "-d", "nowhere", "-c", "select 1", status=2, err="does not exist")
    same(*psql, "-h", HOST, "-p", free_port(), "-c", "select 1", status=2, err="Connection refused")
    same(*psql, "-h", server.folder, "-p", "1", "-c", "select 1", status=2, err="No such file")
    same(*psql, "-h", NO_SUCH_HOST, "-c", "select 1", status=2, err="could not translate host name")

"""redis-cli: commands, a script, mass insertion, blocking waits, and its ways to fail."""

from compare import NO_SUCH_HOST, same
from servers import HOST, Redis, find_tool, free_port

with Redis() as server:
    client = find_tool("redis-cli")
    local = [client, "-s", server.socket]
    tcp = [client, "-h", HOST, "-p", server.port]

    for place in local, tcp:
        same(*place, "flushall", out="OK")
        same(*place, "set", "key", "value", out="OK")
        same(*place, "get", "key", out="value")
        same(*place, "-x", "set", "big", stdin="0123456789" * 100_000, out="OK")
        same(*place, "get", "big", out="0123456789" * 100_000)
        same(*place, "blpop", "nothing", "0.1")
        same(*place, stdin="flushall\nrpush list 3 1 2\nsort list\nblpop list 1\nmulti\nincr n\nincr n\nexec\n",
             out="list\n3\n")

    mass = "flushall\r\n" + "".join(f"set key{i} {i}\r\n" for i in range(20_000))
    same(*tcp, "--pipe", stdin=mass, out="replies: 20001")
    same(*tcp, "--scan", "--pattern", "key1999*", normalise=lambda text: "\n".join(sorted(text.splitlines())),
         out="key19999")
    same(*tcp, "--csv", "mget", *(f"key{i}" for i in range(1000)), out='"999"')
    same(*tcp, "-r", "5", "-i", "0.02", "incrby", "none", "0", out="0\n0\n0\n0\n0\n")
    same(*tcp, "--no-raw", "eval", "return {1, {2, 'three'}}", "0", out="three")

    same(*tcp, "-e", "incr", "key1", "2", status=1, err="wrong number")
    same(*tcp, "-a", "wrong", "ping", out="PONG", err="AUTH failed")
    same(client, "-h", HOST, "-p", free_port(), "ping", status=1, err="Connection refused")
    same(client, "-s", server.folder / "none", "ping", status=1, err="No such file")
    same(client, "-h", NO_SUCH_HOST, "ping", status=1, err="Could not connect")

"""node: a server and clients of it, children, files, timers, streams and threads. Its libuv makes system calls of its own, close
among them, so numbers change owners unheard."""

import pathlib

from compare import same
from servers import find_tool

same(find_tool("node"), str(pathlib.Path(__file__).resolve().parent / "programs" / "node.js"), out="done")

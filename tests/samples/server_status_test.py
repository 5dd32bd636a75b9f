"""server_status: answers in the order of asking, in the time of the slowest server."""

import contextlib
import http.server
import socket
import threading
import time

from sample import check, check_refused, check_succeeded, check_took, run


def handler(delay, status):
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            time.sleep(delay)  # the server's slowness, which the sample waits for
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    return Answers


def serve(stack, delay, status):
    server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(delay, status)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)
    return f"127.0.0.1:{server.server_port}"


with contextlib.ExitStack() as stack:
    slow, slower, missing = serve(stack, 0.5, 200), serve(stack, 1.0, 204), serve(stack, 0.7, 404)
    unused = stack.enter_context(socket.socket())
    unused.bind(("127.0.0.1", 0))  # not listening: refuses
    refusing = f"127.0.0.1:{unused.getsockname()[1]}"
    result = run(slow, slower, refusing, missing, "localhost")
    check_succeeded(result)
    check(result.lines[:-1] == [
        f"{slow}  HTTP/1.0 200 OK",
        f"{slower}  HTTP/1.0 204 No Content",
        f"{refusing}  {refusing}: Connection refused",
        f"{missing}  HTTP/1.0 404 Not Found",
        "localhost  localhost: no host:port",
    ], "every server's status, in the order of asking", result)
    check_took(result, 1.0, 1.6)

check_refused([], "usage")

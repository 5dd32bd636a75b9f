"""usage: run.py CLIENT PROGRAM

Starts the servers of CLIENT, runs its PROGRAM against them and stops them. The program must succeed, say nothing on stderr,
and print figures of the reactor that COIR_REACTOR names. CLIENTS_SLACK multiplies the time that it has (sanitizer builds).
Exit status 77 (skipped): the kernel refuses io_uring.
"""

import contextlib
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import servers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import reactor as reactors  # pylint: disable=wrong-import-position

LIMIT = 60 * float(os.environ.get("CLIENTS_SLACK", "1"))  # seconds
SOAK = float(os.environ.get("SOAK_SECONDS", "600"))
FIGURES = re.compile(r".+: (epoll|uring), .+")


def postgres(_, stack):
    server = stack.enter_context(servers.Postgres(connections=150))
    return [f"host={server.folder} port={server.port} dbname=postgres user=postgres"]


def redis(_, stack):
    return [stack.enter_context(servers.Redis()).port]


def nginx(folder, stack, authority=None):
    """Half of an answer is sent at once, the rest when its share of the next seconds is due: after one and a half to two."""
    for name in range(100):
        (folder / str(name)).write_bytes(random.Random(name).randbytes(128 * 1024))
    authority = authority or stack.enter_context(servers.CertificateAuthority())
    server = stack.enter_context(servers.Nginx(folder, authority, "limit_rate 64k;"))
    return [server.url, server.https_url, authority.certificate, folder]


def soak(folder, stack):
    files = folder / "files"
    files.mkdir()
    authority = stack.enter_context(servers.CertificateAuthority())
    return [*postgres(folder, stack), *redis(folder, stack), *nginx(files, stack, authority), authority.server,
            authority.server_key, folder / "soak.db"]


def tls(_, stack):
    authority = stack.enter_context(servers.CertificateAuthority())
    return [authority.certificate, authority.server, authority.server_key]


# A function gets the test's folder and an ExitStack that ends its servers, and returns the arguments of the program.
ARGUMENTS = {
    "boost_process": lambda folder, stack: [],
    "fifo": lambda folder, stack: [folder],
    "nginx": nginx,
    "popen": lambda folder, stack: [],
    "postgres": postgres,
    "redis": redis,
    "soak": soak,
    "sqlite": lambda folder, stack: [folder / "lines.db"],
    "tls": tls,
}


def run(client, program):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coir-")))
        arguments = ARGUMENTS[client](folder, stack)
        try:
            return subprocess.run([program, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  cwd=folder, timeout=LIMIT + (SOAK if client == "soak" else 0))
        except subprocess.TimeoutExpired as late:
            sys.exit(f"FAILED: {late}\nstdout: {late.stdout}\nstderr: {late.stderr}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    reactor = os.environ.get("COIR_REACTOR")
    reactors.skip_without()
    done = run(sys.argv[1], os.path.abspath(sys.argv[2]))
    print(done.stdout, done.stderr, sep="", end="")
    if done.returncode != 0 or done.stderr:
        sys.exit(f"FAILED: status {done.returncode}")
    figures = [found[1] for found in map(FIGURES.fullmatch, done.stdout.splitlines()) if found]
    if not figures or any(name != reactor for name in figures):
        sys.exit(f"FAILED: no figures of {reactor}")


main()

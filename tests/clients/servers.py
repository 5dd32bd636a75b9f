"""The servers that the tests of clients talk to. Each is a context manager that has its own temporary folder, listens on
loopback only, is answering when the `with` begins, and is gone, folder included, when it ends.

    with CertificateAuthority() as authority, Nginx(root, authority) as nginx:
        use(nginx.url, nginx.https_url, authority.certificate)
"""

import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_LIMIT = 60  # seconds
STOP_LIMIT = 30
SKIPPED = 77
HOST = "127.0.0.1"


def find_tool(name, *folders):
    """The path of a program, also of one that is only in a folder for servers; a test without it is skipped."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *folders]))
    if not found:
        print(f"skipped: {name} is missing")
        sys.exit(SKIPPED)
    return found


def free_port():
    """A port that nobody listens on. Another process may take it before its user does."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5):
        return True
    return False


def unprivileged(*names):
    """What makes subprocess start a program that refuses to run as root: as the first of the users `names`."""
    if os.getuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(known[name] for name in (*names, "nobody") if name in known)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """One process in the foreground. A server says how it is configured, what runs, and when it answers."""

    def __init__(self, **account):
        self.account = account  # see `unprivileged`
        self.port = None
        self.process = None

    def prepare(self):
        """Called once, with `self.folder` empty and the server's own."""

    def command(self):
        """The words that start it on `self.port`; called once for each port that is tried."""
        raise NotImplementedError

    def answers(self):
        return accepts(self.port)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            prefix = f"coir-{type(self).__name__.lower()}-"
            self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
            if self.account:
                os.chown(self.folder, self.account["user"], self.account["group"])
            stack.callback(self.stop)
            self.prepare()
            self.start()
            self.cleanup = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.cleanup.close()

    def do(self, *words):
        """A command of the server's user that must succeed."""
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.folder,
                              timeout=START_LIMIT, **self.account)
        if done.returncode != 0:
            sys.exit(f"{words} ended with status {done.returncode}\n{done.stdout}{done.stderr}")

    def start(self):
        for _ in range(5):
            self.port = free_port()
            words = self.command()
            with open(self.folder / "log", "wb") as log:
                self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd=self.folder, **self.account)
            deadline = time.monotonic() + START_LIMIT
            while self.process.poll() is None and time.monotonic() < deadline:
                if self.answers():
                    return
                time.sleep(0.02)
            self.stop()
        sys.exit(f"{words[0]} does not start:\n{(self.folder / 'log').read_text(errors='replace')}")

    def stop(self):
        if not self.process:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class Postgres(Server):
    """User and database `postgres`, no password. `folder` holds the unix socket, too: host=FOLDER port=PORT."""

    def __init__(self, connections=100):
        super().__init__(**unprivileged("postgres"))
        self.connections = connections
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)

    def prepare(self):
        self.do(find_tool("initdb", *self.bin), "--pgdata=data", "--username=postgres", "--auth=trust", "--no-sync",
                "--encoding=UTF8", "--locale=C")

    def command(self):
        settings = {"listen_addresses": HOST, "unix_socket_directories": self.folder, "fsync": "off",
                    "max_connections": self.connections}
        return [find_tool("postgres", *self.bin), "-D", "data", "-p", str(self.port),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]

    def answers(self):
        probe = [find_tool("pg_isready", *self.bin), "--quiet", f"--host={HOST}", f"--port={self.port}"]
        return subprocess.run(probe, check=False, timeout=START_LIMIT).returncode == 0

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)  # SIGTERM would wait for the clients to leave
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_LIMIT)
        super().stop()


class Redis(Server):
    """Keeps nothing on disk. `socket` is the path of its unix socket."""

    def command(self):
        self.socket = self.folder / "socket"
        return [find_tool("redis-server"), "--bind", HOST, "--port", str(self.port), "--unixsocket", str(self.socket),
                "--save", "", "--appendonly", "no"]


class Nginx(Server):
    """Serves the files below `root`, over HTTPS too if it is given a CertificateAuthority.

    `locations` is added to the server's configuration: location blocks, limit_rate and the like.
    """

    def __init__(self, root, authority=None, locations=""):
        super().__init__()
        self.root, self.authority, self.locations = root, authority, locations

    def command(self):
        self.url = f"http://{HOST}:{self.port}"
        listen, secure = f"listen {HOST}:{self.port} backlog=1024;", ""
        if self.authority:
            self.https_port = free_port()
            self.https_url = f"https://{HOST}:{self.https_port}"
            listen += f" listen {HOST}:{self.https_port} ssl backlog=1024;"
            secure = f"ssl_certificate {self.authority.server}; ssl_certificate_key {self.authority.server_key};"
        temporary = " ".join(f"{kind}_temp_path {kind};" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid pid; error_log stderr;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; {temporary}
                server {{ {listen} {secure} root {self.root}; {self.locations} }}
            }}
            """)
        return [find_tool("nginx"), "-p", str(self.folder), "-e", "stderr", "-c", "nginx.conf"]


class Sshd(Server):
    """Shows its host key to everybody and lets nobody in."""

    def __init__(self):
        super().__init__(**unprivileged("sshd"))

    def prepare(self):
        self.do(find_tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "key")

    def command(self):
        settings = {"ListenAddress": HOST, "HostKey": self.folder / "key", "PidFile": "none", "UsePAM": "no",
                    "AuthenticationMethods": "publickey", "AuthorizedKeysFile": "none", "MaxStartups": 100}
        return [find_tool("sshd"), "-D", "-e", "-f", "/dev/null", "-p", str(self.port),
                *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]


class CertificateAuthority:
    """`certificate` is what clients are to trust, `server` and `server_key` are what a server at HOST shows."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="coir-authority-")
        folder = pathlib.Path(self.temporary.name)
        self.certificate, key = folder / "ca.pem", folder / "ca.key"
        self.server, self.server_key = folder / "server.pem", folder / "server.key"
        self.make(self.certificate, key, "/CN=coir test authority", "basicConstraints=critical,CA:TRUE")
        self.make(self.server, self.server_key, "/CN=localhost", f"subjectAltName=DNS:localhost,IP:{HOST}",
                  "-CA", self.certificate, "-CAkey", key)
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    @staticmethod
    def make(certificate, key, subject, extension, *signer):
        subprocess.run([find_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", subject, "-addext", extension, *signer, "-out", certificate,
                        "-keyout", key], check=True, capture_output=True, timeout=START_LIMIT)

"""curl: downloads one by one and at once, HTTPS with and without trust, an upload, and its ways to fail."""

import pathlib
import tempfile

from compare import NO_SUCH_HOST, same
from servers import HOST, CertificateAuthority, Nginx, find_tool, free_port

LOCATIONS = """
    location /slow { limit_rate 400k; }
    location /stuck { limit_rate 1; }
    location /up { dav_methods PUT; client_max_body_size 10m; }
    location /moved { return 302 /small; }
"""

with tempfile.TemporaryDirectory(prefix="coir-") as folder, CertificateAuthority() as authority:
    root = pathlib.Path(folder)
    for name, text in ("small", "small\n"), ("slow", "slow " * 20_000), ("stuck", "stuck"), ("big", "big " * 1_000_000):
        (root / name).write_text(text)
    (root / "up").mkdir()
    (root / "up" / "file").touch()  # so that each upload replaces one
    with Nginx(root, authority, LOCATIONS) as server:
        curl = [find_tool("curl"), "--silent", "--show-error"]
        trusting = [*curl, "--cacert", authority.certificate]

        for client, url in (curl, server.url), (trusting, server.https_url):
            same(*client, f"{url}/small", out="small")
            same(*client, f"{url}/slow", out="slow " * 20_000)
            same(*client, "-O", "-R", f"{url}/big")
            same(*client, "-L", f"{url}/moved", out="small")
            same(*client, "-w", "%{http_code} %{size_download} %{num_redirects}\n", "-o", "page", f"{url}/small",
                 out="200 6 0")
            # Many at once: one thread, libcurl's multi interface; and one after the other on one connection.
            same(*client, "-Z", "--parallel-max", "30", "--no-progress-meter", f"{url}/slow?[1-30]", "-o", "part#1")
            same(*client, f"{url}/small?[1-50]", out="small\n" * 50)
            same(*client, "-r", "5-9", f"{url}/big", out="ig bi")
            same(*client, "--limit-rate", "8M", "-o", "big", f"{url}/big")
            same(*client, "-T", "-", f"{url}/up/file", "-w", "%{response_code}", out="204", stdin="up " * 300_000)
            same(*client, f"{url}/up/file", out="up " * 300_000)

            same(*client, f"{url}/none", out="404 Not Found")
            same(*client, "-f", f"{url}/none", status=22, err="404")
            same(*client, "-m", "2", f"{url}/stuck", status=28, normalise=lambda text: text.partition(" after ")[0])
            same(*client, "--max-filesize", "1000", f"{url}/big", status=63)

        same(*curl, f"{server.https_url}/small", status=60, err="certificate")
        same(*curl, "-k", f"{server.https_url}/small", out="small")
        same(*curl, f"https://{HOST}:{server.port}/small", status=35)
        same(*curl, f"file://{root}/big", out="big big")
        refused = lambda text: text.partition(" after ")[0]  # the milliseconds it took stand behind
        same(*curl, f"http://{HOST}:{free_port()}/", status=7, err="Failed to connect", normalise=refused)
        same(*curl, f"http://{NO_SUCH_HOST}/", status=6, err="Could not resolve host")
        same(*curl, "nothing://nowhere/", status=1, err="nothing")

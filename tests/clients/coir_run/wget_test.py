"""wget: single files, a whole tree, HTTPS, and its ways to fail."""

import pathlib
import re
import tempfile

from compare import NO_SUCH_HOST, fail, same
from servers import HOST, CertificateAuthority, Nginx, find_tool, free_port


def without_times(text):
    """Each line of the log begins with the time, and says how fast it went."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|--\d{4}-\d\d-\d\d \d\d:\d\d:\d\d--", "TIME", text)
    return re.sub(r"Total wall clock time: .*|in [\d.]+s \(.*\)|[\d.]+s \([\d.]+ .B/s\)", "SPEED", text)


def get(*words, **expected):
    return same(find_tool("wget"), "--no-config", "--tries=1", "--no-verbose", *words, normalise=without_times,
                **expected)


with tempfile.TemporaryDirectory(prefix="coir-") as folder, CertificateAuthority() as authority:
    root = pathlib.Path(folder)
    for name in "a/b/c", "a/d", "e", "f g":
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "file").write_text(f"in {name}\n" * 10_000)
    with Nginx(root, authority, "autoindex on; location /e/ { limit_rate 200k; }") as server:
        for url, options in (server.url, []), (server.https_url, ["--ca-certificate", authority.certificate]):
            get(*options, "-O", "-", f"{url}/a/d/file", out="in a/d\n" * 10_000)
            get(*options, "-c", f"{url}/e/file", err="/e/file")
            files = get(*options, "-r", "-np", "-nH", f"{url}/").files
            if files.get("f g/file", "").count("in f g\n") != 10_000:
                fail(f"the tree is not complete: {sorted(files)}")
            get(*options, f"{url}/none", status=8, err="404")
            get(*options, "--spider", f"{url}/a/d/file", err="200 OK")

        get(f"{server.https_url}/e/file", status=5, err="certificate")
        get("-i", "-", stdin=f"{server.url}/a/d/file\n{server.url}/a/b/c/file\n", err="FINISHED")
        get("-T", "0.3", f"http://{HOST}:{free_port()}/", status=4, err="refused")
        get(f"http://{NO_SUCH_HOST}/", status=4, err="unable to resolve")

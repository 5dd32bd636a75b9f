"""ssh-keyscan, and ssh up to where the server lets nobody in."""

from compare import NO_SUCH_HOST, same
from servers import HOST, Sshd, find_tool, free_port


def sorted_lines(text):
    return "\n".join(sorted(text.splitlines()))


with Sshd() as server:
    scan = find_tool("ssh-keyscan")
    key = same(scan, "-p", server.port, HOST, out="ssh-ed25519").out
    same(scan, "-t", "ed25519", "-p", server.port, HOST, out=key, err="SSH-2.0")
    same(scan, "-p", server.port, "-f", "-", stdin=f"{HOST}\nlocalhost\n", out=key, normalise=sorted_lines)
    same(scan, "-T", "5", "-p", free_port(), HOST, status=1)
    same(scan, "-p", server.port, NO_SUCH_HOST, status=1, err="getaddrinfo")

    known = server.folder / "known_hosts"
    known.write_text(key)
    ssh = [find_tool("ssh"), "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}"]
    same(*ssh, "-p", server.port, f"nobody@{HOST}", "true", status=255, err="Permission denied")
    same(*ssh, "-p", free_port(), f"nobody@{HOST}", "true", status=255, err="Connection refused")
    same(*ssh, "-p", server.port, NO_SUCH_HOST, "true", status=255, err="Could not resolve hostname")

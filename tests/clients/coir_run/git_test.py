"""git: clones over HTTP and from a path, and what a clone then does with threads, pipes and children."""

import os
import pathlib
import subprocess
import tempfile

from compare import NO_SUCH_HOST, fail, same
from servers import HOST, Nginx, find_tool, free_port

git = find_tool("git")
ALONE = {"HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
         "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@localhost", "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
         "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@localhost", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z"}

# The index holds the times and numbers of the files.
INDEX = ["clone/.git/index"]


def do(*words, cwd):
    subprocess.run([git, *words], cwd=cwd, env=os.environ | ALONE, stdin=subprocess.DEVNULL, check=True,
                   capture_output=True, timeout=60)


def make_repository(work, bare):
    """Three commits, a branch, a tag, 300 files, and what a dumb server needs."""
    work.mkdir()
    do("init", "-q", "-b", "main", cwd=work)
    for commit in range(3):
        for i in range(300):
            folder = work / f"folder{i % 7}"
            folder.mkdir(exist_ok=True)
            (folder / f"file{i}").write_text(f"{commit} {i}\n" * (i + 1))
        (work / "script").write_text("#!/bin/sh\n")
        (work / "script").chmod(0o755)
        do("add", "-A", cwd=work)
        do("commit", "-q", "-m", f"commit {commit}", cwd=work)
    do("branch", "side", "HEAD~1", cwd=work)
    do("tag", "-m", "a tag", "v1", cwd=work)
    do("clone", "-q", "--bare", str(work), str(bare), cwd=work)
    do("repack", "-q", "-a", "-d", cwd=bare)
    do("update-server-info", cwd=bare)


with tempfile.TemporaryDirectory(prefix="coir-") as folder:
    root = pathlib.Path(folder)
    (root / "home").mkdir()
    make_repository(root / "work", root / "repository.git")

    def same_git(*words, **expected):
        return same(git, *words, **expected, **ALONE)

    with Nginx(root) as server:
        for source in f"{server.url}/repository.git", f"file://{root}/repository.git", root / "repository.git":
            files = same_git("clone", source, "clone", err="Cloning into", leave_out=INDEX).files
            if files["clone/folder5/file299"].count(
                    "2 299\n") != 300:
                fail("the working tree is not that of the last commit")
        same_git("clone", "-b", "side", "--depth", "1", f"file://{root}/repository.git", "clone", leave_out=INDEX)
        same_git("ls-remote", f"{server.url}/repository.git", out="refs/heads/side")
        same_git("clone", f"{server.url}/none.git", status=128, err="not found")

    clone = root / "clone"
    do("clone", "-q", str(root / "repository.git"), str(clone), cwd=root)
    same_git("-C", clone, "grep", "--threads=4", "-c", "2 29", out="file299")
    same_git("-C", clone, "log", "--stat", "--all", out="commit 1")
    same_git("-C", clone, "diff", "origin/side", out="+2 299")
    same_git("-C", clone, "fsck", "--full", "--strict")
    same_git("-C", clone, "archive", "--format=tar.gz", "-o", os.devnull, "HEAD")
    same_git("-C", clone, "-c", "pack.threads=4", "repack", "-a", "-d", "-f", "-q")
    same_git("-C", clone, "-c", "alias.count=!cat | wc -c", "count", stdin="12345", out="5")
    same_git("-C", clone, "status", "--porcelain")
    same_git("clone", f"http://{HOST}:{free_port()}/x.git", status=128, err="Failed to connect",
             normalise=lambda text: text.partition(" after ")[0])  # the milliseconds it took
    same_git("clone", f"http://{NO_SUCH_HOST}/x.git", status=128, err="Could not resolve host")

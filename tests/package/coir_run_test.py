"""coir-run: patches a program that was linked without coir-patch, verifies, passes everything on, and says clearly
why it cannot.

usage: coir_run_test.py and what meson.build passes on
"""

import os
import pathlib
import re
import shutil

import package
from package import BuildFolder, Installation, Workshop, do, fail, need_tool, run


def check_patches(coir, unpatched):
    """What the program itself lacks, coir-run gives to it, on both reactors."""
    path = {"LD_LIBRARY_PATH": coir.libdir}
    run([unpatched], **path).expect(1, "not patched")
    run([coir.coir_run, unpatched], **path).expect(0, "patched")
    run([coir.coir_run, "--reactor=epoll", "--", unpatched], **path).expect(0, "patched")


def check_verify(coir, shop, unpatched):
    """Every patched name with its provider, and the program does not run."""
    path = {"LD_LIBRARY_PATH": coir.libdir}
    report = run([coir.coir_run, "--verify", unpatched], **path).expect(0)
    if "sleeps" in report.out or not re.search(r"^\s*usleep\b.*libcoir-patch\.so", report.out, re.M):
        fail(f"the report names the provider of usleep, and the program does not run: {report}")
    run([coir.coir_run, "--verify", "--no-preload", unpatched], **path).expect(1, "coir-patch is not in this process")

    script = shop.folder / "script"
    script.write_text("#!/bin/sh\necho main ran\n")
    script.chmod(0o755)
    report = run([coir.coir_run, "--verify", script]).expect(0, "usleep")
    if "main ran" in report.out:
        fail(f"--verify ran a script: {report}")


def check_verify_curl(coir, shop):
    """The same for a program that uses libcurl: unchanged, and linked with coir-patch."""
    if run(["pkg-config", "--exists", "libcurl"]).status != 0:
        print("libcurl is missing: not checked")
        return
    curl = do(["pkg-config", "--cflags", "--libs", "libcurl"]).split()
    for name, flags, options in (("curl", [], []), ("curl_patch", coir.flags("coir-patch"), ["--no-preload"])):
        program = shop.folder / name
        do([*shop.c, shop.sources / "uses_curl.c", "-o", program, *curl, *flags])
        report = run([coir.coir_run, "--verify", *options, program], LD_LIBRARY_PATH=coir.libdir)
        for call in ("poll", "recv", "send"):
            if not re.search(rf"^\s*{call}\b.*libcoir-patch\.so", report.expect(0).out, re.M):
                fail(f"{call} of {name} is not reported as libcoir-patch's: {report}")
        if "main ran" in report.out:
            fail(f"--verify ran {name}: {report}")


def check_passes_on(coir):
    """Arguments, exit status and environment."""
    out = run([coir.coir_run, "sh", "-c", 'printf "<%s>" "$0" "$@"', "a b", "--verify", ""]).expect(0).out
    if out != "<a b><--verify><>":
        fail(f"the arguments arrived as {out}")
    run([coir.coir_run, "--", "sh", "-c", "exit 7"]).expect(7)

    show = ["sh", "-c", 'echo "$LD_PRELOAD|$COIR_REACTOR"']
    plain = do([coir.coir_run, *show], LD_PRELOAD=None, COIR_REACTOR=None).strip()
    if not re.fullmatch(r"/\S*libcoir-patch\.so\S*\|", plain):
        fail(f"LD_PRELOAD|COIR_REACTOR is {plain}")
    library = plain.rstrip("|")
    more = do([coir.coir_run, "--reactor=uring", *show], LD_PRELOAD="libm.so.6", COIR_REACTOR="epoll").strip()
    if more != f"{library}:libm.so.6|uring":
        fail(f"LD_PRELOAD|COIR_REACTOR is {more}")


def check_libc(coir, shop):
    """What stands behind the hooks is libc's own: a thread may still be cancelled in it."""
    program = shop.folder / "cancelled"
    do([*shop.c, shop.sources / "cancelled.c", "-pthread", "-o", program])
    for words in [program], [coir.coir_run, program]:
        run(words).expect(0, "cancelled\n")


def check_bad_arguments(coir):
    for arguments, *words in (
        (["--fast"], "'--fast'", "no such option"),
        (["-v", "true"], "'-v'"),
        (["--reactor"], "--reactor", "missing"),
        (["--reactor=", "true"], "--reactor", "''"),
        (["--reactor=kqueue", "true"], "--reactor", "'kqueue'", "epoll, uring or auto"),
        (["--no-preload", "true"], "--no-preload", "--verify"),
        (["--verify"], "PROGRAM"),
        (["--"], "PROGRAM"),
        ([], "PROGRAM"),
        ([""], "PROGRAM"),
    ):
        result = run([coir.coir_run, *arguments]).expect(2)
        if result.out or any(word not in result.err for word in words):
            fail(f"expected {words} on stderr, nothing on stdout of {result}")
    run([coir.coir_run, "--help", "--fast"]).expect(0, "usage: coir-run")
    run([coir.coir_run, "--version"]).expect(0, "coir-run 0.")


def executable(path, content):
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def check_refuses(coir, shop, unpatched):
    """What cannot be run, or not patched: 127 and 126, and never a run that is silently not patched."""
    def refused(program, status, *words, **environment):
        for options in ([], ["--verify"]):
            result = run([coir.coir_run, *options, program], **environment).expect(status)
            if result.out or any(word not in result.err for word in (str(program), *words)):
                fail(f"expected {words} on stderr, nothing on stdout of {result}")

    folder = shop.folder
    refused("no-such-program", 127, "no such program")
    refused(folder / "no-such-program", 127, "no such program")
    refused(unpatched.name, 127, "no such program", PATH="/usr/bin:/bin")
    refused(folder, 126, "directory")
    plain = folder / "plain"
    plain.write_text("#!/bin/sh\n")
    refused(plain, 126, "Permission denied")
    refused("plain", 126, "Permission denied", PATH=f"{folder}:/bin")
    refused(executable(folder / "lost", b"#!/no/such/interpreter -x\n"), 126, "/no/such/interpreter")
    refused(executable(folder / "loop", f"#!{folder}/loop\n".encode()), 126)

    binary = bytearray(unpatched.read_bytes())
    binary[18:20] = b"\xf3\x00"  # e_machine: RISC-V, which coir does not know
    refused(executable(folder / "foreign", bytes(binary)), 126, "another kind of processor")
    refused(executable(folder / "cut", unpatched.read_bytes()[:70]), 126)

    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    do([*shop.c, "-static", folder / "empty.c", "-o", folder / "static"])
    refused(folder / "static", 126, "statically linked")
    run([coir.coir_run, "--verify", "--no-preload", folder / "static"]).expect(1, err="statically linked")
    (folder / "runs_static").write_text(f"#!{folder}/static\n")
    (folder / "runs_static").chmod(0o755)
    refused(folder / "runs_static", 126, "statically linked", str(folder / "static"))

    if os.getuid() == 0:
        setuid = folder / "setuid"
        shutil.copy(unpatched, setuid)
        os.chown(setuid, 65534, 65534)
        setuid.chmod(0o4755)
        refused(setuid, 126, "setuid")


def check_misplaced(coir, shop, unpatched):
    """Away from its libraries, or in a folder that LD_PRELOAD cannot name."""
    alone = shop.folder / "coir-run"
    shutil.copy(coir.coir_run, alone)
    run([alone, unpatched]).expect(125, err="libcoir-patch")
    spaced = shop.folder / "a folder"
    (spaced / "bin").mkdir(parents=True)
    shutil.copy(coir.coir_run, spaced / "bin" / "coir-run")
    shutil.copy(next(coir.libdir.glob("libcoir-patch.so.0")), spaced)
    run([spaced / "bin" / "coir-run", unpatched]).expect(125, err="space")


def main():
    context = package.parse_context("build", "prefix", "libdir", "bindir", "c", "cxx")
    need_tool("pkg-config")
    with package.temporary_folder() as folder:
        (pathlib.Path(folder) / "shop").mkdir()
        shop = Workshop(context, pathlib.Path(folder) / "shop")
        installation = Installation(context, pathlib.Path(folder) / "stage")
        unpatched = shop.link("unpatched", "main.cpp", [*installation.flags("coir"), *shop.third()])
        for coir in (installation, BuildFolder(context)):
            check_patches(coir, unpatched)
            check_verify(coir, shop, unpatched)
            check_passes_on(coir)
        check_verify_curl(installation, shop)
        check_libc(installation, shop)
        check_bad_arguments(installation)
        check_refuses(installation, shop, unpatched)
        check_misplaced(installation, shop, unpatched)


main()

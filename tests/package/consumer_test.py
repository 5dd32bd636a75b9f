"""Consumers outside the tree, built as README.md says, find that calls made only by a third-party library are
patched; linked in ways that do not work, they find that they are not, and the reports say so.

usage: consumer_test.py --case CASE and what meson.build passes on
"""

import pathlib
import re
import time

import package
from package import BuildFolder, Installation, Workshop, do, fail, need_tool, run


def check_patched(coir, program, **environment):
    """The program works, and what it is linked with says so too."""
    run([program], LD_LIBRARY_PATH=coir.path, **environment).expect(0, "patched\n")
    run([coir.coir_run, "--verify", "--no-preload", program], LD_LIBRARY_PATH=coir.path).expect(0)


def check_not_patched(coir, program, reason):
    """The program's fibers do not overlap, and --verify reports why."""
    run([program], LD_LIBRARY_PATH=coir.path).expect(1, "not patched\n")
    run([coir.coir_run, "--verify", "--no-preload", program], LD_LIBRARY_PATH=coir.path).expect(1, reason)


def shared(coir, shop):
    """The order in the link line does not matter, as long as -lc is not written before."""
    flags = coir.flags("coir-patch")
    check_patched(coir, shop.link("first", "main.cpp", [*flags, *shop.third()]))
    check_patched(coir, shop.link("last", "main.cpp", ["-Wl,--as-needed", *shop.third(), *flags]))
    for name in ("locks", "streams"):
        run([shop.link(name, f"{name}.cpp", flags)], LD_LIBRARY_PATH=coir.path).expect(0, "worked\n")
    program = shop.link("report", "report.cpp", [*flags, *shop.third()])
    report = run([program], LD_LIBRARY_PATH=coir.path).expect(0)
    for name in ("usleep", "__recv_chk", "__read_chk"):
        if not re.search(rf"^{name} \S*libcoir-patch\S* patched$", report.out, re.M):
            fail(f"{name} is not reported as patched by libcoir-patch: {report}")


def static(coir, shop):
    """coir in the program itself; the rest of it dynamic."""
    program = shop.link("static", "main.cpp", [*shop.third(), *coir.flags("coir-patch-static")])
    if "libcoir" in do(["ldd", program]):
        fail("a program linked by coir-patch-static loads libcoir.so")
    check_patched(coir, program)
    for name in ("locks", "streams"):
        run([shop.link(name, f"{name}.cpp", coir.flags("coir-patch-static"))]).expect(0, "worked\n")


def fully_static(coir, shop):
    """No dynamic linker at all."""
    flags = ["-static", *coir.flags("coir-patch", static=True)]
    check_patched(coir, shop.link("fully_static", "main.cpp", [*shop.third(static=True), *flags]))
    for name in ("locks", "streams"):
        run([shop.link(name, f"{name}.cpp", flags)]).expect(0, "worked\n")
    flags = ["-static", *coir.flags("coir-patch-static")]
    run([shop.link("same", "streams.cpp", flags)]).expect(0, "worked\n")


def cmake(coir, shop):
    need_tool("cmake")
    for source in shop.sources.iterdir():
        text = source.read_text().replace("@version@", "0.1")
        (shop.folder / source.name).write_text(text)
    build = shop.folder / "build"
    do(["cmake", "-S", shop.folder, "-B", build, f"-DCMAKE_PREFIX_PATH={coir.prefix}",
        f"-DCMAKE_C_COMPILER={shop.c[-1]}", f"-DCMAKE_CXX_COMPILER={shop.cxx[-1]}"])
    do(["cmake", "--build", build, "--verbose"], limit=240)
    check_patched(coir, build / "shared")
    check_patched(coir, build / "static")
    check_patched(coir, build / "fully_static_main")
    run([build / "fully_static_locks"]).expect(0, "worked\n")
    run([build / "nested"], LD_LIBRARY_PATH=coir.path).expect(0, "libcoir-patch")
    check_not_patched(coir, build / "unpatched", "coir-patch is not in this process")

    (shop.folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(consumer CXX)\nfind_package(coir 9.0 REQUIRED)\n")
    run(["cmake", "-S", shop.folder, "-B", shop.folder / "newer", f"-DCMAKE_PREFIX_PATH={coir.prefix}"]).expect(
        1, err="requested version \"9.0\"")


def dropped(coir, shop):
    """Without the flags the linker drops the library, shared or static, since nothing refers to it by name."""
    reason = "coir-patch is not in this process"
    paths = [word for word in coir.flags("coir") if word[:2] in ("-I", "-L")]
    names = ["-Wl,--as-needed", "-lcoir-patch", "-lcoir"]
    check_not_patched(coir, shop.link("dropped", "main.cpp", [*paths, *shop.third(), *names]), reason)
    private = [word for word in coir.flags("coir-static") if word != "-l:libcoir.a"]
    names = ["-l:libcoir-patch.a", "-l:libcoir.a"]
    check_not_patched(coir, shop.link("dropped_static", "main.cpp", [*paths, *names, *shop.third(), *private]), reason)
    names = ["-static", *shop.third(static=True), "-lc", *coir.flags("coir", static=True)]
    check_not_patched(coir, shop.link("without", "main.cpp", names), "")


def behind_libc(coir, shop):
    """With libc in front of it, libc provides the names."""
    flags = ["-Wl,--no-as-needed,-lc", *coir.flags("coir-patch")]  # one word: g++ moves a plain -lc to the end
    program = shop.link("behind", "main.cpp", [*shop.third(), *flags])
    check_not_patched(coir, program, "libc.so")
    program = shop.link("behind_report", "report.cpp", [*shop.third(), *flags])
    report = run([program], LD_LIBRARY_PATH=coir.path).expect(1)
    if not re.search(r"^usleep \S*libc\.so\S* not patched$", report.out, re.M):
        fail(f"usleep is not reported as libc's: {report}")


def readme(coir, shop):
    """The first program of README.md, compiled by README.md's command."""
    text = (package.HERE.parents[1] / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```cpp\n(.*?)```", text, re.S) or fail("README.md holds no program")
    source = shop.folder / "readme.cpp"
    source.write_text(found[1])
    program = shop.link("readme", source, coir.flags("coir-patch"))
    for _ in range(4):  # late may be the machine's doing, so once more
        start = time.monotonic()
        run([program], LD_LIBRARY_PATH=coir.path).expect(0, "a\nb\n3\n")
        seconds = time.monotonic() - start
        if seconds < 1.9:
            break
    if not 1.0 <= seconds < 1.9:
        fail(f"it takes one second, not {seconds:.2f}")


def superproject(_, shop):
    """A Meson project that builds coir as a part of itself, by coir.wrap. Without an installed coir, and as cheaply as
    may be."""
    root = package.HERE.parents[1]
    parts = shop.folder / "subprojects"
    parts.mkdir()
    (parts / "coir").symlink_to(root)
    for source in (root / "lib/pkg/coir.wrap", *shop.sources.iterdir(), package.HERE / "superproject/meson.build"):
        (parts if source.suffix == ".wrap" else shop.folder).joinpath(source.name).write_text(source.read_text())
    build = shop.folder / "build"
    do(["meson", "setup", build, shop.folder, "-Dbuildtype=plain", "-Dcoir:quick_build=true", "-Dcoir:boost_fiber=disabled"],
       CC=" ".join(shop.c), CXX=" ".join(shop.cxx), PKG_CONFIG_PATH=None)
    do(["ninja", "-C", build, "patched", "unpatched"], limit=900)
    run([build / "patched"]).expect(0, "patched\n")
    run([build / "unpatched"]).expect(1, "not patched\n")


def sanitizers(coir, shop):
    """Programs built with a sanitizer, coir without (docs/sanitizers.md): no false alarm, and the mistake is found."""
    for name, mistake, report in (("address", "overrun", "heap-buffer-overflow"), ("thread", "race", "data race")):
        program = shop.link(name, "sanitized.cpp", ["-g", f"-fsanitize={name}", *coir.flags("coir-patch")])
        for reactor in "epoll", "uring":
            good = run([program], COIR_REACTOR=reactor).expect(0, "worked\n")
            if "Sanitizer" in good.err:
                fail(f"a report about a program without mistakes: {good}")
        found = run([program, mistake])
        if found.status == 0 or report not in found.err:
            fail(f"{mistake} is not found: {found}")


INSTALLED = {"pkgconfig-shared": shared, "pkgconfig-static": static, "pkgconfig-fully-static": fully_static,
             "cmake": cmake, "dropped": dropped, "behind-libc": behind_libc, "readme": readme}
UNINSTALLED = {"build-folder-shared": shared, "build-folder-static": static, "build-folder-readme": readme,
               "superproject": superproject, "sanitizers": sanitizers}


def main():
    context = package.parse_context("case", "build", "prefix", "libdir", "bindir", "c", "cxx")
    need_tool("pkg-config")
    with package.temporary_folder() as folder:
        (pathlib.Path(folder) / "shop").mkdir()
        shop = Workshop(context, pathlib.Path(folder) / "shop")
        if context.case in INSTALLED:
            INSTALLED[context.case](Installation(context, pathlib.Path(folder) / "stage"), shop)
        else:
            UNINSTALLED[context.case](BuildFolder(context), shop)


main()

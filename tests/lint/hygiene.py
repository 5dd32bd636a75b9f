"""What does not belong into the tree: marks of unfinished work, overlong files, paths and hosts of one machine,
leftovers of editors, and folders nobody agreed on."""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

TOP_LEVEL = {
    ".ci", ".clang-format", ".clang-tidy", ".git", ".gitignore", "LICENSE", "README.md", "docs", "include", "lib",
    "meson.build", "meson_options.txt", "samples", "tests",
}
LONGEST = 600
MAY_BE_LONG = {"docs"}  # prose and generated tables

# Written so that this file does not match itself.
FORBIDDEN = [
    (re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b"), "a mark of unfinished work"),
    (re.compile(r"(?<![\w.}*])/(home|root|Users|work)/\w"), "a path of one machine"),
    (re.compile(r"\b(deb\.debian\.org|pypi\.org|registry\.npmjs\.org|crates\.io|proxy\.golang\.org)\b"),
     "the host of a package registry"),
    (re.compile(r"^(<{7}|>{7}) "), "a mark of a merge"),
]
LEFTOVER = re.compile(r"(~|\.(bak|orig|rej|swp|tmp|o|a|so))$")


def is_build_folder(name):
    return name.startswith("build")


def tree():
    """Every file that may be part of the repository."""
    for folder, names, files in os.walk(ROOT):
        inside = pathlib.Path(folder).relative_to(ROOT)
        if inside == pathlib.Path():
            names[:] = [name for name in names if name != ".git" and not is_build_folder(name)]
        names[:] = sorted(name for name in names if name != "__pycache__")
        for name in sorted(files):
            yield inside / name


def check_file(path):
    if LEFTOVER.search(path.name):
        yield "a leftover"
        return
    try:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return  # an image
    if len(lines) > LONGEST and path.parts[0] not in MAY_BE_LONG:
        yield f"{len(lines)} lines; {LONGEST} are two files"
    for number, line in enumerate(lines, 1):
        for pattern, what in FORBIDDEN:
            if pattern.search(line):
                yield f"line {number}: {what}: {line.strip()[:100]}"


def main():
    problems = [f"{name}: not an entry agreed on for the top level"
                for name in sorted(os.listdir(ROOT))
                if name not in TOP_LEVEL and not is_build_folder(name)]
    for path in tree():
        problems += [f"{path}: {problem}" for problem in check_file(path)]
    print("\n".join(problems))
    if problems:
        sys.exit(f"{len(problems)} things that do not belong here")


main()

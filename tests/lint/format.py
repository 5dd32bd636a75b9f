"""clang-format finds nothing to change. Exit status 77 (skipped): there is no clang-format."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ["lib", "include", "tests", "samples", "docs"]
SOURCES = {".h", ".hpp", ".c", ".cpp"}

program = shutil.which("clang-format-14") or shutil.which("clang-format")  # each version formats a little differently
if not program:
    print("skipped: clang-format is missing")
    sys.exit(77)

files = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*")
               if path.suffix in SOURCES)
if not files:
    sys.exit("found no sources to check")
done = subprocess.run([program, "--dry-run", "-Werror", *files], cwd=ROOT, capture_output=True, text=True)
if done.returncode != 0:
    found = [line for line in done.stderr.splitlines() if ": error: " in line]
    first = {line.partition(":")[0]: line for line in reversed(found)}
    print("\n".join(sorted(first.values())) or done.stderr)
    sys.exit(f"to be formatted: {program} -i {' '.join(sorted(first))}")
print(f"{len(files)} files are formatted")

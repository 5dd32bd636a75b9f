"""Every include in the tree keeps to the layers of lib/LAYERS.

A folder of lib/ includes its own headers, those of the layers named in its row, and public ones. Public headers
include public headers only, because lib/ is not installed. Samples see what users see. Tests may include anything.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
SOURCES = {".h", ".hpp", ".c", ".cpp", ".S"}


def read_table(text):
    """`layer: allowed...` lines as {layer: set of allowed}."""
    table = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        layer, colon, allowed = (part.strip() for part in line.partition(":"))
        if not colon or not layer or layer in table:
            sys.exit(f"lib/LAYERS:{number}: not `layer: allowed layers`, or the layer stands twice")
        unknown = set(allowed.split()) - table.keys()
        if unknown:  # also keeps the table free of cycles
            sys.exit(f"lib/LAYERS:{number}: {layer} uses {sorted(unknown)}, of which no earlier line tells")
        table[layer] = set(allowed.split())
    return table


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if found := INCLUDE.match(line):
            yield number, found[1] or found[2], found[1] is not None


def is_internal(name):
    return "/" in name and (ROOT / "lib" / name).is_file()


def sources_in(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in SOURCES)


def check_lib(path, table):
    layer = path.relative_to(ROOT / "lib").parts[0]
    if layer not in table:
        yield 1, f"lib/LAYERS has no line for the folder {layer!r}"
        return
    for number, name, quoted in includes(path):
        used = name.partition("/")[0]
        if not quoted and not is_internal(name):
            continue  # a system header; <sys/...> is not the layer sys
        if used == "coir" and not (ROOT / "include" / name).is_file():
            yield number, f"{name} is no public header"
        elif used in table and used != layer and used not in table[layer]:
            yield number, f"{layer} may not use {used}: {name}"
        elif used in table and not is_internal(name):
            yield number, f"{name} does not exist"
        elif used not in table and used != "coir":
            yield number, f"{name}: written as \"layer/file\", \"coir/file\" or <system header>"


def check_public(path, _):
    for number, name, quoted in includes(path):
        if quoted and not name.startswith("coir/"):
            yield number, f"a public header includes \"coir/...\" or <system header>, not {name}"
        elif is_internal(name):
            yield number, f"a public header includes the internal {name}"


def check_sample(path, _):
    for number, name, _ in includes(path):
        if is_internal(name) or name.startswith("coir/detail/"):
            yield number, f"a sample includes the internal {name}"


def main():
    table = read_table((ROOT / "lib" / "LAYERS").read_text(encoding="utf-8"))
    wrong = 0
    checked = 0
    for folder, check in (("lib", check_lib), ("include", check_public), ("samples", check_sample)):
        for path in sources_in(ROOT / folder):
            checked += 1
            for number, message in check(path, table):
                print(f"{path.relative_to(ROOT)}:{number}: {message}")
                wrong += 1
    if not checked:
        sys.exit("found no sources to check")
    if wrong:
        sys.exit(f"{wrong} includes against the layers")
    print(f"{checked} files keep to the layers")


main()

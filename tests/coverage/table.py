"""usage: table.py [--check]

Writes the tables of docs/semantics.md, and how many differences they hold, from what lib/posix/names.def says of each
group of names. With --check it writes nothing, and fails if the page is not what it would write, or does not say what
tests/conformance knows to differ.
"""

import difflib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES_DEF = ROOT / "lib/posix/names.def"
PAGE = ROOT / "docs/semantics.md"

# <!-- patched: CATEGORY -->, what this script writes, <!-- end -->
PLACE = re.compile(r"(<!-- patched: (\w+) -->\n).*?(?=<!-- end -->)", re.S)
HEAD = "| calls | how they wait | when cancelled or timed out | differences |\n|---|---|---|---|\n"


class Group:
    def __init__(self, line):
        self.line = line
        self.names = []  # (name, category)
        self.texts = []  # [key, text]

    def said(self, key):
        return [text for k, text in self.texts if k == key]

    def problems(self):
        where = f"{NAMES_DEF.name}:{self.line}"
        if not self.names:
            yield f"{where}: a group without names"
        elif len({category for _, category in self.names}) > 1:
            yield f"{where}: a group of more than one category"
        never = self.texts[0][1].startswith("never")
        for key, least, most in (("waits", 1, 1), ("stopped", 0 if never else 1, 1), ("signals", 0, 1)):
            if not least <= len(self.said(key)) <= most:
                yield f"{where}: a group with {len(self.said(key))} '{key}:'"
        if any("|" in text or not text for _, text in self.texts):
            yield f"{where}: a text that is empty or would end a cell"

    def row(self):
        stopped = "; a signal handler: ".join(self.said("stopped") + self.said("signals"))
        calls = f"`{' '.join(name for name, _ in self.names)}`"
        return f"| {calls} | {self.said('waits')[0]} | {stopped} | {'<br>'.join(self.said('differs'))} |\n"


def groups():
    """What names.def says, and what is wrong with it."""
    result, problems, seen = [], [], set()
    for number, line in enumerate(NAMES_DEF.read_text().splitlines(), 1):
        if line.startswith("// waits: "):
            result.append(Group(number))
        if name := re.fullmatch(r"COIR_PATCHED\((\w+), (\w+)\)", line):
            if not result or name[1] in seen:
                problems.append(f"{NAMES_DEF.name}:{number}: {name[1]}: {'twice' if result else 'not in a group'}")
            seen.add(name[1])
            result[-1:] and result[-1].names.append(name.groups())
        elif text := re.fullmatch(r"// (waits|stopped|signals|differs): *(.*)", line):
            result[-1:] and result[-1].texts.append(list(text.groups()))
        elif result and line.startswith("//   ") and result[-1].texts and not result[-1].names:
            result[-1].texts[-1][1] += " " + line[5:]
        elif result and line:
            problems.append(f"{NAMES_DEF.name}:{number}: neither a name nor what is said of a group")
    return result, problems + [problem for group in result for problem in group.problems()]


def written(page, all_groups):
    """`page` with its tables, and what is wrong with it."""
    tables = {}
    for group in all_groups:
        tables[group.names[0][1]] = tables.get(group.names[0][1], HEAD) + group.row()
    names = sum(len(group.names) for group in all_groups)
    differences = sum(len(group.said("differs")) for group in all_groups)
    tables["all"] = f"{names} names are patched. The tables hold {differences} differences.\n"
    places = [category for _, category in PLACE.findall(page)]
    problems = [f"{PAGE.name}: {places.count(category)} places for {category}"
                for category in sorted(tables.keys() | set(places))
                if places.count(category) != 1 or category not in tables]
    return PLACE.sub(lambda place: f"{place[1]}\n{tables.get(place[2], '')}\n", page), problems


def not_told(page):
    """The differences that the conformance suite expects and `page` does not tell."""
    sys.path.insert(0, str(ROOT / "tests/conformance"))
    import differences
    told = " ".join(page.split())
    return [f"{PAGE.name}: {row}: not there: {text}"
            for row in differences.DIFFERENCES if (text := differences.entry(row)[0]) not in told]


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    all_groups, problems = groups()
    if problems:
        sys.exit("\n".join(problems))
    old = PAGE.read_text()
    new, problems = written(old, all_groups)
    if not sys.argv[1:]:
        PAGE.write_text(new)
    elif old != new:
        diff = difflib.unified_diff(old.splitlines(), new.splitlines(), "is", "should be", lineterm="", n=0)
        problems += ["docs/semantics.md is not what tests/coverage/table.py makes of names.def: run it", *diff]
    problems += not_told(new)
    print("\n".join(problems) or f"{len(all_groups)} groups of names")
    sys.exit(1 if problems else 0)


main()

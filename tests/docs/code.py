"""usage: code.py --write | code.py BUILD_FOLDER COMPILER...

All code in README.md and docs/*.md compiles, and its whole programs run. The line before a ```cpp block says how:

  <!-- code: in a function -->         statements; "in a function, with <HEADER>" only where there is that header
  <!-- code: at namespace scope -->    declarations and definitions
  <!-- code: file PATH -->             the text of that file of the tree, which the build compiles; --write puts it there
  <!-- code: program, prints WORDS --> a whole program; it ends with status 0 and prints these words, one a line
  <!-- code: not compiled, REASON -->

Each piece finds what prelude.hpp declares, and what the pieces before it in the document define at namespace scope. Of
```python blocks the syntax is checked.
"""

import ast
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- code: (?P<how>.*?) -->\n)?^```(?P<language>cpp|python)\n(?P<text>.*?)^```$", re.M | re.S)
OPENING = re.compile(r"^\s*```+\s*(?:cpp|c\+\+|cxx|c|python|py)\b", re.M | re.I)
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused"]
SECONDS = 20  # for one program

Piece = collections.namedtuple("Piece", "page line how language text")


def pieces(page):
    text = page.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    if len(found) != len(OPENING.findall(text)):
        sys.exit(f"{page.relative_to(ROOT)}: {len(OPENING.findall(text))} blocks of code, of which {len(found)} are well-formed")
    for match in found:
        line = text.count("\n", 0, match.start("text")) + 1
        yield Piece(page, line, match["how"], match["language"], match["text"])


def place(piece):
    return f"{piece.page.relative_to(ROOT)}:{piece.line}"


def file_of(piece):
    return piece.how and piece.how.startswith("file ") and ROOT / piece.how.removeprefix("file ")


def write():
    """Puts the files into the pages that show them."""
    def filled(match):
        if not (match["how"] or "").startswith("file "):
            return match[0]
        text = (ROOT / match["how"].removeprefix("file ")).read_text(encoding="utf-8")
        return f"<!-- code: {match['how']} -->\n```{match['language']}\n{text}```"
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := BLOCK.sub(filled, text)) != text:
            page.write_text(new, encoding="utf-8")


def as_unit(page, list_of):
    """The pieces of one page as a source whose errors name the page's own lines. Later pieces are inside the namespaces of
    earlier ones, so they see them and may define the same names anew."""
    lines = ['#include "prelude.hpp"']
    for number, piece in enumerate(list_of):
        opening, closing = ("void run() {", "}") if piece.how.startswith("in a function") else ("", "")
        header = piece.how.partition(", with ")[2] or "<coir/coir.hpp>"
        lines += [f"namespace piece_{number} {{", f"#if __has_include({header})", opening, f'#line {piece.line} "{page}"',
                  piece.text, closing, "#endif"]
    return "\n".join(lines + ["}"] * len(list_of)) + "\n"


def compile_pieces(compiler, page, list_of):
    flags = ["-std=c++20", "-D_GNU_SOURCE", f"-I{ROOT / 'include'}", f"-I{HERE}", *WARNINGS]
    done = subprocess.run([*compiler, *flags, "-fsyntax-only", "-x", "c++", "-"], input=as_unit(page.relative_to(ROOT), list_of),
                          capture_output=True, text=True)
    if done.returncode != 0:
        yield done.stderr


def run_program(compiler, build, piece, folder):
    source, program = pathlib.Path(folder, "program.cpp"), pathlib.Path(folder, "program")
    source.write_text(f'#line {piece.line} "{piece.page.relative_to(ROOT)}"\n{piece.text}', encoding="utf-8")
    libraries = [f"-L{build}/lib", f"-Wl,-rpath,{build}/lib", "-Wl,--no-as-needed", "-lcoir-patch", "-lcoir"]
    done = subprocess.run([*compiler, "-std=c++20", f"-I{ROOT / 'include'}", *WARNINGS, source, "-o", program, *libraries],
                          capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"runs longer than {SECONDS} seconds"
    expected = piece.how.partition("prints ")[2].split()
    if done.returncode == 0 and done.stdout.split() == expected and not done.stderr:
        return None
    return f"exit status {done.returncode}, prints {done.stdout!r} and {done.stderr!r}, not {expected}"


def problems(build, compiler, folder):
    for page in PAGES:
        to_compile = []
        for piece in pieces(page):
            how, problem = piece.how or "", None
            if piece.language == "python":
                try:
                    compile(textwrap.dedent(piece.text), place(piece), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                except SyntaxError as error:
                    problem = str(error)
            elif re.fullmatch(r"in a function(, with <.*>)?|at namespace scope", how):
                to_compile.append(piece)
            elif how.startswith("file "):
                if piece.text != file_of(piece).read_text(encoding="utf-8"):
                    problem = f"not the text of that file: {pathlib.Path(__file__).name} --write"
            elif how.startswith("program, prints "):
                problem = run_program(compiler, build, piece, folder)
            elif not how.startswith("not compiled, "):
                problem = f"{how!r}: not a way to check it"
            if problem:
                yield f"{place(piece)}: {problem}"
        yield from compile_pieces(compiler, page, to_compile) if to_compile else ()


def main():
    if sys.argv[1:] == ["--write"]:
        write()
        return
    build, *compiler = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        found = list(problems(os.path.abspath(build), compiler, folder))
    counted = collections.Counter(piece.language for page in PAGES for piece in pieces(page))
    print(", ".join(f"{count} blocks of {language}" for language, count in counted.items()))
    print("\n".join(found))
    if found or not counted["cpp"]:
        sys.exit("not all code of the documents is sound")


main()

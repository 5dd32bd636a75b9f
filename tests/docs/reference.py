"""usage: reference.py DOXYGEN DOXYFILE

Every public name has its documentation, as the API reference shows it, and docs/reference.md, its first page, lists all
there is. First a header with names that have no documentation is added, to see that each kind of name would be found.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

# No name here is documented but those that have to be, for doxygen to look at their members.
PROBE = """
/** @file */
#pragma once
extern "C" void lonely_c_function();
namespace coir {
void lonely_function();
using lonely_alias = int;
inline constexpr int lonely_constant = 1;
enum class lonely_enum { lonely_value };
class lonely_class { public: int member; };
/// Documented.
enum class known_enum { lonely_enumerator };
/// Documented.
class known_class {
 public:
  explicit known_class(int lonely_argument);
  known_class(const known_class& copied);
  known_class& operator=(known_class&& moved) noexcept = default;
  void lonely_member();
  /// Documented.
  void overloaded();
  void overloaded(int lonely_overload);
  using lonely_type = int;
  static constexpr int lonely_static = 1;
  /// Internal: and that
  /// in two lines.
  void not_public();
  /// Documented.
  void known_member();

  void lonely_overload_of_nothing();
  bool empty() const;
  friend bool operator==(const known_class& copied, const known_class&);
  using value_type = int;

 protected:
  void not_public_either();

  /// Internal.
  void nor_this();
 private:
  void lonely_private();
};
namespace this_fiber {
void lonely_in_namespace();
}
namespace detail {
void lonely_detail();
}
}  // namespace coir
"""
FIRST_PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "reference.md"
# What the standard library says of every type: copies, the names of containers and iterators, operators.
CONVENTIONAL = re.compile(r"Member (operator\W|(\w+)\((const )?\2 ?&|(empty|begin|end)\(\) |"
                          r"(value_type|result_type|difference_type|iterator|iterator_category|iterator_concept) )"
                          r"|Compound [\w:]+::iterator ")
HIDDEN = {"copied", "moved", "not_public", "not_public_either", "nor_this", "lonely_private", "lonely_detail"}
KINDS = {"class", "struct", "namespace"}


class Reference:
    """What doxygen makes of the public headers, and of `more` if that is a file."""

    def __init__(self, doxygen, doxyfile, more=None):
        with tempfile.TemporaryDirectory() as folder:
            settings = [f"@INCLUDE = {doxyfile}", f"OUTPUT_DIRECTORY = {folder}", "GENERATE_HTML = NO",
                        "GENERATE_XML = YES", "XML_PROGRAMLISTING = NO"]
            if more:
                settings.append(f"INPUT += {more}")
            done = subprocess.run([doxygen, "-"], input="\n".join(settings), capture_output=True, text=True)
            self.warnings = [line for line in done.stderr.splitlines() if line.strip() and not CONVENTIONAL.search(line)]
            self.names, bases = set(), {}
            for path in pathlib.Path(folder, "xml").glob("*.xml"):
                root = xml.parse(path).getroot()
                self.names |= set(names(root))
                bases |= bases_of(root)
                self.warnings += undocumented_values(root)
        for derived, base in bases.items():
            self.names |= {derived + name.removeprefix(base) for name in self.names if name.startswith(base + "::")}
        if done.returncode != 0:
            sys.exit(f"doxygen: exit status {done.returncode}: {done.stdout}")


def names(root):
    """The public names of one of doxygen's files, without the namespace coir."""
    for compound in root.iter("compounddef"):
        if compound.get("kind") in KINDS and compound.get("prot") != "private":
            yield compound.findtext("compoundname").removeprefix("coir::")
        elif not compound.findtext("compoundname").endswith(".h"):
            continue
        for member in compound.iter("memberdef"):
            if member.get("prot") == "private":
                continue
            name = member.findtext("qualifiedname") or member.findtext("name")
            yield name.removeprefix("coir::")
            for value in member.iter("enumvalue"):
                yield f"{name}::{value.findtext('name')}".removeprefix("coir::")


def bases_of(root):
    """{class: its public base class}, without namespace coir and template arguments."""
    plain = [(compound.findtext("compoundname"), base.text) for compound in root.iter("compounddef")
             for base in compound.findall("basecompoundref") if base.get("prot") == "public"]
    return {derived.removeprefix("coir::"): base.partition("<")[0].strip().removeprefix("coir::") for derived, base in plain}


def undocumented_values(root):
    """Enumerators, which doxygen does not ask for."""
    for member in root.iter("memberdef"):
        for value in member.iter("enumvalue"):
            if member.get("prot") == "public" and not "".join(value.find("briefdescription").itertext()).strip():
                yield f"{member.find('location').get('file')}: {value.findtext('name')} is not documented."


def check_itself(doxygen, doxyfile):
    with tempfile.TemporaryDirectory() as folder:
        probe = pathlib.Path(folder, "probe.hpp")
        probe.write_text(PROBE, encoding="utf-8")
        seen = [line for line in Reference(doxygen, doxyfile, probe).warnings if "probe.hpp" in line]
    missed = [name for name in sorted(set(re.findall(r"lonely_\w+", PROBE)) - HIDDEN)
              if not any(re.search(rf"\b{name}\b", line) for line in seen)]
    wrong = [line for line in seen if any(name in line for name in HIDDEN)]
    if missed or wrong:
        sys.exit("\n".join(seen + [f"not found undocumented: {missed}; found though not public: {wrong}"]))


def left_out(names):
    """The names of namespace coir itself that the first page does not list."""
    listed = set(re.findall(r"\bcoir::(\w+)", FIRST_PAGE.read_text(encoding="utf-8")))
    outer = {name for name in names if "::" not in name and not name.startswith("coir")}
    return [f"{FIRST_PAGE.name}: {name} is not listed" for name in sorted(outer - listed)]


def main():
    check_itself(*sys.argv[1:])
    reference = Reference(*sys.argv[1:])
    problems = reference.warnings + left_out(reference.names)
    print("\n".join(problems))
    if problems:
        sys.exit("the API reference is not complete")
    if len(reference.names) < 100:
        sys.exit(f"doxygen found only {len(reference.names)} names")
    print(f"{len(reference.names)} public names are documented")


if __name__ == "__main__":
    main()

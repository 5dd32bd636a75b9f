#include "launcher/options.hpp"

#include <string_view>

#include "launcher/failure.hpp"
#include "sys/categories.hpp"

namespace coir::launcher {

const char* const usage =
    "usage: coir-run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
    "Runs PROGRAM, a dynamically linked one, with libc's blocking calls patched, so that they park the "
    "calling\n"
    "fiber instead of blocking its thread. The programs that it starts are patched too.\n"
    "\n"
    "  --reactor=NAME  epoll, uring or auto: how fibers wait for I/O (sets COIR_REACTOR)\n"
    "  --patch=LIST    the categories of calls to patch, or -CATEGORY not to, with commas: all, io, time, "
    "threads,\n"
    "                  names, processes, files, ipc, stdio, signals (sets COIR_PATCH)\n"
    "  --always        patch the calls of threads with a single fiber too (sets COIR_PATCH_ALWAYS=1)\n"
    "  --audit         report calls that make a thread with fibers wait outside the patch (sets "
    "COIR_AUDIT=1)\n"
    "  --verify        only load PROGRAM, and print for each patched name the object that provides it;\n"
    "                  exit status 0 if all names are patched, else 1\n"
    "  --no-preload    with --verify: PROGRAM as it is, linked with coir-patch itself\n"
    "  --help          this text\n"
    "  --version       the version of coir\n"
    "\n"
    "Exit status: PROGRAM's own; or 2 bad arguments, 125 a file of coir is missing, 126 PROGRAM cannot be "
    "run\n"
    "patched, 127 there is no such program.\n";

namespace {

[[noreturn]] void reject(const std::string& message) {
  throw failure(status::bad_arguments, message + " (coir-run --help tells more)");
}

std::string parse_reactor(std::string_view name) {
  if (name != "epoll" && name != "uring" && name != "auto")
    reject("--reactor: '" + std::string(name) + "' is not epoll, uring or auto");
  return std::string(name);
}

// The program itself would stop at a wrong list, but not before it first uses a fiber.
std::string parse_patch(std::string_view list) {
  std::string_view rest = list;
  do {
    const std::size_t comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    if (item.starts_with('-')) item.remove_prefix(1);
    bool known = item == "all";
#define COIR_ONE(name, bit) known = known || item == #name;
    COIR_CATEGORIES(COIR_ONE)
#undef COIR_ONE
    if (!known) reject("--patch: '" + std::string(item) + "' is no category");
  } while (!rest.empty());
  return std::string(list);
}

}  // namespace

options parse_options(char** argv) {
  constexpr std::string_view reactor_is = "--reactor=", patch_is = "--patch=";
  options result;
  char** next = argv + 1;
  for (; *next != nullptr && **next == '-'; ++next) {
    const std::string_view argument = *next;
    if (argument == "--") {
      ++next;
      break;
    }
    if (argument == "--help" || argument == "-h") {
      result.what = action::help;
      return result;
    }
    if (argument == "--version") {
      result.what = action::version;
      return result;
    }
    if (argument == "--verify")
      result.what = action::verify;
    else if (argument == "--no-preload")
      result.preload = false;
    else if (argument.starts_with(reactor_is))
      result.reactor = parse_reactor(argument.substr(reactor_is.size()));
    else if (argument.starts_with(patch_is))
      result.patch = parse_patch(argument.substr(patch_is.size()));
    else if (argument == "--patch")
      reject("--patch: the list is missing; write --patch=io,time or --patch=-names");
    else if (argument == "--always")
      result.always = true;
    else if (argument == "--audit")
      result.audit = true;
    else if (argument == "--reactor")
      reject("--reactor: the name is missing; write --reactor=epoll, --reactor=uring or --reactor=auto");
    else
      reject("'" + std::string(argument) + "': no such option");
  }
  if (!result.preload && result.what != action::verify)
    reject("--no-preload: only of use with --verify; a program linked with coir-patch needs no coir-run");
  if (*next == nullptr) reject("PROGRAM: missing");
  if (**next == '\0') reject("PROGRAM: an empty name");
  result.program = next;
  return result;
}

}  // namespace coir::launcher

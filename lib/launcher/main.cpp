// coir-run: runs a program with libcoir-patch.so preloaded, or tells what is patched in it.
//
// It only prepares the environment and becomes the program by exec; what is patched is up to lib/patch. With
// --verify, COIR_VERIFY=1 makes the constructor of coir-patch print its report and end the process, and a
// second preloaded object (verify_stub.c) sees to it that the program itself does not run.

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "launcher/failure.hpp"
#include "launcher/library.hpp"
#include "launcher/options.hpp"
#include "launcher/program.hpp"

namespace coir::launcher {
namespace {

// In the same object file of coir-patch as the constructor that reports: whatever has one has the other.
constexpr const char* patch_symbol = "coir_patch_marker";

void set(const char* name, const std::string& value) {
  if (::setenv(name, value.c_str(), 1) != 0)
    throw failure(status::internal, std::string("set ") + name + ": " + std::strerror(errno));
}

void prepare_verify(const program& p, bool with_patch) {
  set("COIR_VERIFY", "1");
  if (!with_patch && !p.dynamic && !p.foreign) {
    if (!defines_symbol(p.image, patch_symbol))
      throw failure(status::unpatched, "'" + p.image +
                                           "' is statically linked and its symbol table does not hold "
                                           "coir-patch, so none of its calls are patched");
    return;  // the static program's own constructor reports
  }
  check_preloadable(p);
  preload(find_verify_library());
  if (with_patch) preload(find_patch_library());
}

void prepare_run(const program& p) {
  check_preloadable(p);
  preload(find_patch_library());
}

[[noreturn]] void execute(const program& p, char** argv) {
  std::fflush(stdout);
  ::execvp(p.path.c_str(), argv);
  throw failure(status::not_executable, "'" + p.path + "' cannot be executed: " + std::strerror(errno));
}

int run(char** argv) {
  const options chosen = parse_options(argv);
  if (chosen.what == action::help) {
    std::fputs(usage, stdout);
    return 0;
  }
  if (chosen.what == action::version) {
    std::puts("coir-run " COIR_VERSION);
    return 0;
  }
  const program p = find_program(chosen.program[0]);
  if (chosen.reactor) set("COIR_REACTOR", *chosen.reactor);
  if (chosen.patch) set("COIR_PATCH", *chosen.patch);
  if (chosen.audit) set("COIR_AUDIT", "1");
  if (chosen.always) set("COIR_PATCH_ALWAYS", "1");
  if (chosen.what == action::verify)
    prepare_verify(p, chosen.preload);
  else
    prepare_run(p);
  execute(p, chosen.program);
}

}  // namespace
}  // namespace coir::launcher

int main(int, char** argv) {
  using coir::launcher::status;
  try {
    return coir::launcher::run(argv);
  } catch (const coir::launcher::failure& e) {
    std::fprintf(stderr, "coir-run: %s\n", e.what());
    return static_cast<int>(e.exit_status());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coir-run: %s\n", e.what());
    return static_cast<int>(status::internal);
  }
}

// The constructors of coir-patch: find what stands behind each patched name, answer coir-run --verify, and
// obey COIR_PATCH_ALWAYS.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coir/patch.hpp"
#include "patch/hook.hpp"
#include "posix/control.hpp"
#include "posix/signals.hpp"

// The linker's names for the bounds of the section that holds the hooks.
extern "C" __attribute__((visibility("hidden"))) const char __start_coir_hooks[], __stop_coir_hooks[];

// Tells coir::patch::report() where the hooks are: in the shared library, or in the program they were linked
// into.
extern "C" __attribute__((visibility("default"))) const char* const coir_patch_marker[];
const char* const coir_patch_marker[] = {__start_coir_hooks, __stop_coir_hooks};

// For sys/real.cpp, before the constructor below has run.
extern "C" __attribute__((visibility("default"))) void* coir_patch_behind(const char* name) {
  void* found = ::dlsym(RTLD_NEXT, name);
  asm volatile("" : "+r"(found));  // dlsym looks at where it returns to: this must not become a jump
  return found;
}

namespace {

// COIR_VERIFY=1 (set by coir-run --verify): prints who provides each name, and ends before main.
[[noreturn]] void verify() {
  int missing = 0;
  for (const coir::patch::provider& p : coir::patch::report()) {
    ::printf("%-20s %-9s %s\n", p.name.c_str(), p.patched ? "patched" : "NOT", p.object.c_str());
    missing += p.patched ? 0 : 1;
  }
  ::printf("%d names not patched\n", missing);
  ::fflush(stdout);
  ::_exit(missing == 0 ? 0 : 1);
}

__attribute__((constructor(101))) void start() {
  coir::sys::resolve_real(coir_patch_behind);
  coir::posix::note_patch_code(coir::wait::own_code());
}

__attribute__((constructor)) void obey_environment() {
  const char* wanted = ::getenv("COIR_VERIFY");
  if (wanted != nullptr && ::strcmp(wanted, "1") == 0) verify();
  coir::posix::obey_environment();
}

}  // namespace

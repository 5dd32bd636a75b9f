#include <dlfcn.h>

#include "coir/patch.hpp"

// Where the hooks begin and end. Defined by coir-patch, wherever that was linked; null without it.
extern "C" __attribute__((weak)) const char* const coir_patch_marker[];

// The address that each name is bound to in this process. Unlike dlsym, this also works in a static program.
#define COIR_PATCHED(name, category) \
  extern "C" __attribute__((weak)) const char coir_bound_##name[] __asm__(#name);
#include "posix/names.def"
#undef COIR_PATCHED

namespace coir::patch {
namespace {

struct binding {
  const char* name;
  const char* address;
};

const binding bindings[] = {
#define COIR_PATCHED(name, category) {#name, coir_bound_##name},
#include "posix/names.def"
#undef COIR_PATCHED
};

// The file that holds `address`; empty if there is none, or no dynamic linker that knows.
std::string object_of(const char* address) {
  Dl_info where = {};
  if (address == nullptr || ::dladdr(address, &where) == 0 || where.dli_fname == nullptr) return {};
  return where.dli_fname;
}

}  // namespace

std::vector<provider> report() {
  const bool linked = coir_patch_marker != nullptr;
  std::vector<provider> result;
  for (const binding& b : bindings) {
    const bool patched = linked && b.address >= coir_patch_marker[0] && b.address < coir_patch_marker[1];
    result.push_back({b.name, object_of(b.address), patched});
  }
  return result;
}

}  // namespace coir::patch

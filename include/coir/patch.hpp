#pragma once

#include <string>
#include <vector>

/// Control of the patched libc calls (library coir-patch).
namespace coir::patch {

/// Who provides one patched name in this process.
struct provider {
  std::string name;    ///< the libc function
  std::string object;  ///< the file that calls of it reach; empty if no object defines it
  bool patched;        ///< whether that is coir's definition
};

/// For every name that coir-patch defines, which object really provides it to the program and the libraries
/// it loads at start-up. Names that are not patched here mean that coir-patch is missing from the link line,
/// stands behind libc in it, or was bypassed (docs/semantics.md). Throws std::bad_alloc. Never suspends.
std::vector<provider> report();

}  // namespace coir::patch

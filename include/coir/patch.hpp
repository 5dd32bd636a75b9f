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

/// While it lives, the patched calls of the fiber that made it go straight to libc: they block the thread as
/// they would without coir. For a call that must not let other fibers run in between, or that coir gets
/// wrong. Nests; is left by the fiber that made it. Other fibers are not concerned, new ones neither. What
/// the fiber awaits by coir's own calls (coir::event, join, …) still suspends it.
/// Locks: a mutex taken inside belongs to the thread for libc, and is to be given up inside.
/// Closing a descriptor wakes who waits for it all the same. For fibers of Boost.Fiber (use_coir) it holds
/// for their whole thread. Throws as coir::spawn when it is the first that the thread wants of coir.
/// Context: any thread, fiber or not; not a signal handler. Never suspends.
/// The environment variable COIR_PATCH does the same for a whole process, by category: README.md.
class scoped_off {
 public:
  scoped_off();
  ~scoped_off();
  scoped_off(const scoped_off&) = delete;
  scoped_off& operator=(const scoped_off&) = delete;
};

}  // namespace coir::patch

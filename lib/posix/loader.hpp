// Opening and closing shared objects whose constructors or destructors wait.
//
// libc's own lock on that is recursive by thread, and held while they run: another fiber of the thread would
// walk through it, and get an object that is not ready. Fibers have a lock of their own in front of it; plain
// threads do with libc's.
#pragma once

#include <limits.h>

#include "posix/descriptor.hpp"

namespace coir::posix {

// On a thread with fibers: while it lives, no other fiber opens or closes shared objects. Suspends.
class loader_lock {
 public:
  loader_lock() noexcept;
  ~loader_lock();
  loader_lock(const loader_lock&) = delete;
  loader_lock& operator=(const loader_lock&) = delete;
};

// Whether the current fiber has it: libc's own lock belongs to its thread then, and a helper that opens an
// object (a module of NSS) would wait for the fiber that waits for it.
bool holds_loader(scheduler& s) noexcept;

// Whether what dlopen finds for `file` may depend on which object calls it, and `caller` is in one for which
// that makes a difference.
bool depends_on_caller(const char* file, const void* caller) noexcept;

// Where dlopen called there finds it, if that is clear: by the search path of the calling object.
bool find_for_caller(const char* file, const void* caller, char (&path)[PATH_MAX]) noexcept;

}  // namespace coir::posix

// What every patched name starts with. A hook is: not on a thread with fibers? straight to libc; else the
// twin.
//
// No allocation, no lock and no getenv before that: allocators start up through these names.
#pragma once

#include "coir/detail/fiber_base.hpp"
#include "sys/real.hpp"

// Whether this call may suspend: the thread has fibers.
#define COIR_COOPERATIVE __builtin_expect(::coir::detail::cooperative != 0, 0)
#define COIR_HOOK extern "C" __attribute__((visibility("default"), section("coir_hooks")))

// For names that libc's archive does not let others define. A fully static program is linked with --wrap,
// which sends their callers to the second name; there libc's own definition takes the place of this one.
#define COIR_WRAPPED_HOOK extern "C" __attribute__((visibility("default"), section("coir_hooks"), weak))
#define COIR_WRAP(name) \
  extern "C" __attribute__((visibility("hidden"), alias(#name))) __typeof__(name) __wrap_##name;

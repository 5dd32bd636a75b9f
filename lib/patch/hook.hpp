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

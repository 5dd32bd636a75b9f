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

// For names that libc's archive does not let others define: the hook is called __wrap_NAME. In a fully static
// program --wrap sends NAME's callers to it; in all others patch/own_names.cpp is NAME.
#define COIR_WRAPPING_HOOK extern "C" __attribute__((visibility("hidden"), section("coir_hooks")))

// What every patched name starts with. A hook is: not on a thread with fibers? straight to libc; else the
// twin.
//
// No allocation, no lock and no getenv before that: allocators start up through these names. No noexcept on
// the way to what libc makes a cancellation point: pthread_cancel unwinds the stack from there.
#pragma once

#include "coir/detail/fiber_base.hpp"
#include "sys/categories.hpp"
#include "sys/real.hpp"

// Whether this call may suspend: the thread has fibers, and nobody switched the call off. Each file says by
// COIR_HOOKS_OF which category its hooks are of.
#define COIR_COOPERATIVE ::coir::sys::cooperative(coir_category)
#define COIR_COOPERATIVE_IN(name) ::coir::sys::cooperative(::coir::sys::category::name)
#define COIR_HOOKS_OF(name)                                   \
  namespace {                                                 \
  constexpr auto coir_category = ::coir::sys::category::name; \
  }
#define COIR_HOOK extern "C" __attribute__((visibility("default"), section("coir_hooks")))

// A hook by its assembler's name, where the headers say other things of it than are wanted here.
#define COIR_NAMED_HOOK(hook, result, id, parameters, name) \
  hook result coir_##id parameters __asm__(name);           \
  hook result coir_##id parameters

// For names that libc's archive does not let others define: the hook is called __wrap_NAME. In a fully static
// program --wrap sends NAME's callers to it; in all others patch/own_names.cpp is NAME.
#define COIR_WRAPPING_HOOK extern "C" __attribute__((visibility("hidden"), section("coir_hooks")))

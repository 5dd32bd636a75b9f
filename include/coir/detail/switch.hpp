// The switch itself, inlined into the calls that wait. Internal.
//
// A wait is three steps: `begin_…` (in the library) enrols the waiter and picks the next fiber,
// `switch_fibers` jumps, `finish_…` tells how it ended. The jump is made here, in the caller's own code,
// entered and left by jumps and not by call and return: the processor's return predictor then never sees a
// switch, and the jump's target is predicted from history like any other. An out-of-line switch costs one or
// two mispredicted returns (7 ns each where a switch costs 4): docs/adr/0002-own-switch.md.
#pragma once

#include "coir/detail/fiber_base.hpp"

#if defined(__x86_64__) && !defined(COIR_BOOST_SWITCH)
#define COIR_INLINE_SWITCH 1
#endif

namespace coir::detail {

// The frame of an infinite wait, made by `begin_…` and read by `finish_…`.
struct wait_frame {
  alignas(16) unsigned char bytes[112];
};

// What `begin_…` found. `to`: the context to switch to; null if none is needed any more.
// `self`: the fiber that waits; null if there was nothing to wait for, and nothing is to be finished.
struct switch_request {
  void* to;
  fiber_base* self;
};

#ifdef COIR_INLINE_SWITCH

extern "C" void
coir_switch_stack();  // rdi: the context, rsi: data; back with rax: the context left, rdx: its data

// SAFETY: r.to was suspended by this function, or is fresh, and is used once. Below the red zone, the address
// to resume at is pushed as a call would.
[[gnu::always_inline]] inline fiber_base* jump_to(const switch_request& r, void*& left) noexcept {
  void* from;
  void* data;
  void* to = r.to;
  void* self = r.self;
  __asm__ volatile(
      "leaq -128(%%rsp), %%rsp\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp *coir_switch_stack@GOTPCREL(%%rip)\n"
      "1:\n\t"
      "leaq 128(%%rsp), %%rsp"
      : "=a"(from), "=d"(data), "+D"(to), "+S"(self)
      :
      : "rcx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0", "mm1", "mm2", "mm3",
        "mm4", "mm5", "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",
#ifdef __AVX512F__
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
        "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
        "memory", "cc");
  left = from;
  return static_cast<fiber_base*>(data);
}

#else

// Out of line: Boost.Context's.
fiber_base* jump_to(const switch_request& r, void*& left) noexcept;

#endif

// The middle step: nothing, if there was nothing to wait for or the wait is over already.
// Suspends r.self until it is switched to again.
[[gnu::always_inline]] inline void switch_fibers(const switch_request& r) noexcept {
  if (r.to == nullptr) return;
  void* context;
  fiber_base* left = jump_to(r, context);
  left->context = context;
  // The last reference to a fiber that ended is dropped by whoever runs next: it stood on its stack until
  // now.
  if (__builtin_expect(left->state.load(std::memory_order_relaxed) == fiber_state::done, 0)) release(left);
}

switch_request begin_join(wait_frame& frame, fiber_base* f);
void finish_join(wait_frame& frame, fiber_base* f);

// Waits until `f` has ended; throws as fiber::join.
inline void join_fiber(fiber_base* f) {
  wait_frame frame;
  const switch_request r = begin_join(frame, f);
  if (r.self == nullptr) return;
  switch_fibers(r);
  finish_join(frame, f);
}

}  // namespace coir::detail

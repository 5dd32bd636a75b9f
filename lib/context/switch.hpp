// The switch from one stack to another: making contexts, and leaving a stack for good. The switch between two
// living stacks is in include/coir/detail/switch.hpp, since it is inlined into the calls that wait.
//
// On x86-64 the switch is coir's own: Boost.Context's jump_fcontext is entered by a call and left by a jump,
// which puts the processor's return predictor off by one (docs/adr/0002-own-switch.md). Elsewhere it is
// Boost.Context's. Both keep the callee-saved registers and the floating-point control words (D11).
#pragma once

#include <cstddef>
#include <cstdint>

#include "coir/detail/switch.hpp"

#ifndef COIR_INLINE_SWITCH
#include <boost/context/detail/fcontext.hpp>
#endif

namespace coir::context {

// What a fresh stack's entry is given.
struct transfer {
  void* from;  // the context that was left
  void* data;
};

#ifdef COIR_INLINE_SWITCH

extern "C" void coir_begin_stack();

// SAFETY: as switch_fibers; the calling stack will never be switched to again.
[[noreturn, gnu::always_inline]] inline void leave_stack(void* to, void* data) noexcept {
  __asm__ volatile("jmp coir_leave_stack" : : "D"(to), "S"(data) : "memory");
  __builtin_unreachable();
}

// The floating-point control words of the caller, for contexts it makes.
struct control_words {
  unsigned long bits;
  static control_words current() noexcept;
};

// A context that runs `entry` on the stack below `top` (16-byte aligned) when first switched to. It never
// returns.
inline void* make_context(void* top, std::size_t, void (*entry)(transfer), control_words words) noexcept {
  auto* frame = static_cast<unsigned long*>(top) - 11;
  frame[0] = words.bits;
  frame[5] = reinterpret_cast<unsigned long>(entry);  // rbx; the other registers do not matter
  frame[6] = 0;                                       // rbp
  frame[7] = reinterpret_cast<unsigned long>(&coir_begin_stack);
  frame[8] = 0;  // the entry's return address: backtraces end here
  frame[9] = frame[10] = 0;
  return frame;
}

extern "C" void coir_detour();

// What the suspended `context` becomes if it is to call `first` on its own stack before it goes on. A walk up
// the stack from there sees the frames of the context.
inline void* divert(void* context, void (*first)() noexcept) noexcept {
  auto* was = static_cast<unsigned long*>(context);
  auto* frame = reinterpret_cast<unsigned long*>((reinterpret_cast<std::uintptr_t>(was) - 256) & ~15UL);
  frame[0] = was[0];
  frame[2] = reinterpret_cast<unsigned long>(first);  // r14
  frame[5] = reinterpret_cast<unsigned long>(was);    // rbx
  frame[6] = was[6];                                  // rbp
  frame[7] = reinterpret_cast<unsigned long>(&coir_detour);
  return frame;
}

#else

[[noreturn]] inline void leave_stack(void* to, void* data) noexcept {
  boost::context::detail::jump_fcontext(to, data);
  __builtin_unreachable();
}

struct control_words {  // Boost.Context takes them from the maker of each context
  static control_words current() noexcept { return {}; }
};

inline void* make_context(void* top, std::size_t size, void (*entry)(transfer), control_words) noexcept {
  // SAFETY: both structs are two pointers, passed alike.
  return boost::context::detail::make_fcontext(
      top, size, reinterpret_cast<void (*)(boost::context::detail::transfer_t)>(entry));
}

#endif

}  // namespace coir::context

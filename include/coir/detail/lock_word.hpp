// Who holds a lock, in one word of it that costs no more to keep than a bit would.
//
// 0: nobody; `wanted` is added while somebody may wait. While the process has one thread, the holder is a
// position on his stack: the stack pointer is at hand, a fiber's record is two loads away, and a position is
// in one stack only. Mostly the same function unlocks, at the same position; where another does, lib/sync
// asks whose stack it is. Beside other threads, whose atomic operations cost more than the loads, it is the
// record (owner_mark). Either way of writing stays valid when a second thread begins.
#pragma once

#include <atomic>
#include <cstdint>

#include "coir/detail/fiber_base.hpp"

namespace coir::detail {

enum lock_word : std::uintptr_t {
  nobody = 0,
  wanted = 1,
  by_record = 2,  // what is left of it is an owner_mark; without: a position
};

inline std::uintptr_t held_by_caller() noexcept {
  return owner_mark() | by_record;
}

#if defined(__x86_64__) && defined(__LP64__)
// In assembly, because the compiler would take a copy of the stack pointer first; volatile, because it
// differs from frame to frame, which the compiler does not know.
[[gnu::always_inline]] inline void hold_here(std::atomic<std::uintptr_t>& word) noexcept {
  __asm__ volatile("movq %%rsp, %0" : "=m"(reinterpret_cast<std::uintptr_t&>(word)));
}
[[gnu::always_inline]] inline bool held_here(const std::atomic<std::uintptr_t>& word) noexcept {
  bool same;
  __asm__ volatile("cmpq %%rsp, %1" : "=@ccz"(same) : "m"(reinterpret_cast<const std::uintptr_t&>(word)));
  return same;
}
#else
inline void hold_here(std::atomic<std::uintptr_t>& word) noexcept {
  word.store(held_by_caller(), std::memory_order_relaxed);
}
inline bool held_here(const std::atomic<std::uintptr_t>& word) noexcept {
  return word.load(std::memory_order_relaxed) == held_by_caller();
}
#endif

}  // namespace coir::detail

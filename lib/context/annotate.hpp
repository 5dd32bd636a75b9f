// Tells AddressSanitizer, ThreadSanitizer and valgrind about stacks and switches.
//
// Whether a program has a sanitizer shows when it is loaded: coir need not be built with it. The sanitizer's
// functions are weak references, which are null without it; nobody asks on a switch, since schedulers under a
// sanitizer take the path of those who carry something (scheduler::keep_flow).
#pragma once

#include <cstddef>
#include <iterator>

#include "base/roots.hpp"
#include "coir/detail/threads.hpp"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define COIR_VALGRIND 1
#endif

extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* begin, std::size_t size);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}

namespace coir::context {

inline bool under_asan() noexcept {
  return &__sanitizer_start_switch_fiber != nullptr && &__asan_unpoison_memory_region != nullptr;
}
inline bool under_tsan() noexcept {
  return &__tsan_switch_to_fiber != nullptr;
}
// Whether switches are to be announced.
inline bool sanitized() noexcept {
  return under_asan() || under_tsan();
}

// A stack was carved; it stays known for the life of the process.
inline void annotate_stack(char* low, char* high) noexcept {
  base::add_root(low, static_cast<std::size_t>(high - low));
#ifdef COIR_VALGRIND
  (void)VALGRIND_STACK_REGISTER(low, high);
#endif
}

// TSan's states of a thread's fibers. Made anew, one is 785 KiB to clear; those of fibers that have ended
// serve the next ones, and no report is lost by it, since to TSan the fibers of one thread run in order. A
// fiber's last frames are never left, and TSan's record of them has an end: so a state serves so often.
class tsan_states {
 public:
  tsan_states() noexcept = default;
  tsan_states(const tsan_states&) = delete;
  tsan_states& operator=(const tsan_states&) = delete;
  ~tsan_states() {
    while (count_ != 0) __tsan_destroy_fiber(spare_[--count_].state);
  }

  struct lent {
    void* state;
    unsigned uses;
  };

  lent take() noexcept { return count_ != 0 ? spare_[--count_] : lent{__tsan_create_fiber(0), 0}; }
  void give_back(lent l) noexcept {
    if (++l.uses < 1000 && count_ < std::size(spare_))
      spare_[count_++] = l;
    else
      __tsan_destroy_fiber(l.state);
  }

 private:
  lent spare_[64];
  std::size_t count_ = 0;
};

// What the sanitizers keep per fiber. Its members are used in sanitized programs only.
struct annotations {
  void* fake_stack = nullptr;  // ASan's
  const void* low = nullptr;
  std::size_t size = 0;
  tsan_states::lent tsan = {nullptr, 0};

  // A fiber of its own on the stack [stack_low, stack_low + stack_size), and under TSan a state of `states`.
  void begin(char* stack_low, std::size_t stack_size, tsan_states& states) noexcept {
    fake_stack = nullptr;
    low = stack_low;
    size = stack_size;
    if (under_asan()) __asan_unpoison_memory_region(stack_low, stack_size);
    if (under_tsan()) tsan = states.take();
  }
  // The thread's own stack.
  void adopt_thread() noexcept {
    if (under_tsan()) tsan.state = __tsan_get_current_fiber();
  }
  void leave_thread() noexcept {
    if (low != nullptr) base::remove_root(low, size);
  }
  // `states` is of the thread that calls.
  void end(tsan_states& states) noexcept {
    if (under_tsan()) states.give_back(tsan);
  }
};

// Just before and just after the jump from one fiber to another, if sanitized.
inline void before_switch(annotations& from, annotations& to, bool from_ends) noexcept {
  if (under_asan()) __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.low, to.size);
  if (under_tsan()) __tsan_switch_to_fiber(to.tsan.state, 0);
}
inline void after_switch(annotations& self, annotations& from) noexcept {
  if (!under_asan()) return;
  const bool known = from.low != nullptr;
  __sanitizer_finish_switch_fiber(self.fake_stack, known ? nullptr : &from.low, known ? nullptr : &from.size);
  // The thread's own stack is learnt when it is first left. Who looks for leaks knows the present one only.
  if (!known) base::add_root(from.low, from.size);
}

}  // namespace coir::context

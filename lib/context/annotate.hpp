// Tells AddressSanitizer, ThreadSanitizer and valgrind about stacks and switches. Empty in other builds.
#pragma once

#include <cstddef>

#include "base/roots.hpp"
#include "coir/detail/threads.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define COIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COIR_ASAN 1
#endif
#endif

#ifdef COIR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef COIR_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define COIR_VALGRIND 1
#endif

namespace coir::context {

// A stack was carved; it stays known for the life of the process.
inline void annotate_stack([[maybe_unused]] char* low, [[maybe_unused]] char* high) noexcept {
#ifdef COIR_VALGRIND
  (void)VALGRIND_STACK_REGISTER(low, high);
#endif
}

// What the sanitizers keep per fiber.
struct annotations {
#ifdef COIR_ASAN
  void* fake_stack = nullptr;
  const void* low = nullptr;
  std::size_t size = 0;
#endif
#ifdef COIR_TSAN
  void* tsan_fiber = nullptr;
#endif

  // A fiber of its own on the stack [stack_low, stack_low + stack_size).
  void begin([[maybe_unused]] char* stack_low, [[maybe_unused]] std::size_t stack_size) noexcept {
#ifdef COIR_ASAN
    low = stack_low;
    size = stack_size;
    ASAN_UNPOISON_MEMORY_REGION(stack_low, stack_size);
#endif
#ifdef COIR_TSAN
    tsan_fiber = __tsan_create_fiber(0);
#endif
  }
  // The thread's own stack.
  void adopt_thread() noexcept {
#ifdef COIR_TSAN
    tsan_fiber = __tsan_get_current_fiber();
#endif
  }
  void leave_thread() noexcept {
#ifdef COIR_ASAN
    if (low != nullptr) base::remove_root(low, size);
#endif
  }
  void end() noexcept {
#ifdef COIR_TSAN
    __tsan_destroy_fiber(tsan_fiber);
#endif
  }
};

// Just before and just after the jump from one fiber to another.
inline void before_switch([[maybe_unused]] annotations& from, [[maybe_unused]] annotations& to,
                          [[maybe_unused]] bool from_ends) noexcept {
#ifdef COIR_ASAN
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.low, to.size);
#endif
#ifdef COIR_TSAN
  __tsan_switch_to_fiber(to.tsan_fiber, 0);
#endif
}
inline void after_switch([[maybe_unused]] annotations& self, [[maybe_unused]] annotations& from) noexcept {
#ifdef COIR_ASAN
  const bool known = from.low != nullptr;
  __sanitizer_finish_switch_fiber(self.fake_stack, known ? nullptr : &from.low, known ? nullptr : &from.size);
  // The thread's own stack is learnt when it is first left. Who looks for leaks knows the present one only.
  if (!known) base::add_root(from.low, from.size);
#endif
}

}  // namespace coir::context

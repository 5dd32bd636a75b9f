// A lock for more than a handful of instructions, which is never coir-patch's: who waits for it keeps its
// thread, so that it may be taken where no fiber may be switched. Not recursive. After "Futexes Are Tricky"
// (Drepper), mutex 2.
#pragma once

#include <linux/futex.h>

#include <atomic>

#include "base/raw.hpp"

namespace coir::base {

class raw_lock {
 public:
  void lock() noexcept {
    int seen = open;
    if (__builtin_expect(word_.compare_exchange_strong(seen, held, std::memory_order_acquire), 1)) return;
    while (word_.exchange(wanted, std::memory_order_acquire) != open)
      raw(SYS_futex, word(&word_), FUTEX_WAIT_PRIVATE, wanted, 0);
  }
  void unlock() noexcept {
    if (word_.exchange(open, std::memory_order_release) == wanted)
      raw(SYS_futex, word(&word_), FUTEX_WAKE_PRIVATE, 1);
  }

 private:
  enum : int { open, held, wanted };  // wanted: held, and somebody may wait

  std::atomic<int> word_{open};
};

}  // namespace coir::base

// Whether this process has only one thread, and the spin lock that costs nothing while that is so.
//
// glibc keeps __libc_single_threaded true until the first pthread_create (and libstdc++'s shared_ptr relies
// on it in the same way). A critical section of coir's own never creates a thread, so no second thread can
// appear inside one that was entered without taking the lock word.
#pragma once

#include <sys/single_threaded.h>

#include <atomic>

namespace coir::detail {

#if defined(__SANITIZE_THREAD__)
#define COIR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COIR_TSAN 1
#endif
#endif

inline bool single_threaded() noexcept {
#ifdef COIR_TSAN
  return false;
#else
  return __libc_single_threaded != 0;
#endif
}

// Leaves the processor's other half some room.
inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
// Yields the processor to whoever holds a contended spin lock.
void spin_wait(unsigned round) noexcept;

// About a microsecond.
void stay_away() noexcept;

// For a handful of instructions that never switch fibers. Not recursive.
class spin_lock {
 public:
  void lock() noexcept {
    if (single_threaded()) return;
    // acquire: pairs with the release in unlock.
    if (__builtin_expect(held_.exchange(true, std::memory_order_acquire), 0)) lock_slow();
  }
  // The same where each holds it for many short sections in a row: who finds it taken stays away for about a
  // microsecond, in which the other, with all it needs in its cache, gets through a hundred of them.
  void lock_in_turns() noexcept {
    if (single_threaded()) return;
    // acquire: pairs with the release in unlock.
    if (__builtin_expect(held_.exchange(true, std::memory_order_acquire), 0)) {
      stay_away();
      lock_slow();
    }
  }
  // A plain store on x86, so it is made whether or not the lock was taken by the word.
  void unlock() noexcept { held_.store(false, std::memory_order_release); }  // pairs with lock's acquire

 private:
  void lock_slow() noexcept {
    unsigned round = 0;
    do {
      while (held_.load(std::memory_order_relaxed)) spin_wait(round++);
    } while (held_.exchange(true, std::memory_order_acquire));
  }

  std::atomic<bool> held_{false};
};

}  // namespace coir::detail

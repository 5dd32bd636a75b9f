#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "coir/detail/fiber_base.hpp"
#include "coir/detail/time.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir {

/// A mutual exclusion lock between fibers of one thread, of several threads, and plain threads.
///
/// Meets the standard's TimedLockable. Held across waits if need be: who wants it parks, the thread goes on.
/// Handed to the longest waiting first. Costs nothing but a store each way while uncontended in a
/// single-threaded process, one atomic operation each way otherwise. Unlocked by the fiber (or plain thread)
/// that locked it; not recursive: locking it twice waits for ever. Destroyed only when unlocked and unwanted.
class mutex {
 public:
  mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  /// Takes the lock. Suspends while another has it.
  /// Throws cancelled, timed_out or what was raised if the wait for it is interrupted; then it is not held.
  void lock() {
    if (__builtin_expect(!try_fast(), 0)) lock_slow();
  }
  /// Takes the lock if it is free. Never suspends.
  bool try_lock() noexcept { return try_fast(); }
  /// Takes the lock, waiting at most `d`; false if that passed first. Throws as lock; std::invalid_argument
  /// if `d` is negative.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::mutex::try_lock_for", d);
    return try_fast() || lock_until(detail::deadline_after(ns));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> t) {
    return try_fast() || lock_until(detail::deadline_at(t));
  }
  /// Gives the lock to the longest waiting, or frees it. Never suspends. Throws std::system_error
  /// (operation_not_permitted), naming who holds it, if that is not the caller; a lock_guard cannot let that
  /// out, and the program ends with it.
  void unlock() {
    std::uintptr_t mine = detail::owner_mark();
    if (detail::single_threaded()) {
      if (__builtin_expect(state_.load(std::memory_order_relaxed) == mine, 1)) {
        state_.store(open, std::memory_order_relaxed);
        return;
      }
    } else if (__builtin_expect(state_.compare_exchange_strong(mine, open, std::memory_order_release,
                                                               std::memory_order_relaxed),
                                1)) {  // release: pairs with the acquire in try_fast
      return;
    }
    unlock_slow();
  }

 private:
  friend class condition_variable;
  // Its owner's mark, and `wanted` if somebody may wait.
  enum : std::uintptr_t { open = 0, wanted = 1 };

  bool try_fast() noexcept {
    if (detail::single_threaded()) {
      if (__builtin_expect(state_.load(std::memory_order_relaxed) != open, 0)) return false;
      state_.store(detail::owner_mark(), std::memory_order_relaxed);
      return true;
    }
    std::uintptr_t expected = open;
    return state_.compare_exchange_strong(expected, detail::owner_mark(),
                                          std::memory_order_acquire);  // pairs with unlock
  }
  std::uintptr_t owner() const noexcept {
    return state_.load(std::memory_order_relaxed) & ~std::uintptr_t{wanted};
  }
  void lock_slow();
  bool lock_until(std::int64_t deadline_ns);
  void lock_uninterruptible() noexcept;
  void unlock_slow();
  bool wait_for_lock(std::int64_t deadline_ns, bool interruptible);

  std::atomic<std::uintptr_t> state_{open};
  detail::wait_list waiters_;
};

/// A mutex that its owner, a fiber (or plain thread), may lock again; it is free after as many unlocks.
class recursive_mutex {
 public:
  recursive_mutex() noexcept = default;
  recursive_mutex(const recursive_mutex&) = delete;
  recursive_mutex& operator=(const recursive_mutex&) = delete;

  /// As mutex::lock; at once if the calling fiber holds it.
  void lock();
  /// As mutex::try_lock; true if the calling fiber holds it.
  bool try_lock();
  /// As mutex::try_lock_for.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> d) {
    return again() || (inner_.try_lock_for(d) && first());
  }
  /// As mutex::try_lock_until.
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> t) {
    return again() || (inner_.try_lock_until(t) && first());
  }
  /// Undoes one lock of the calling fiber. Throws std::system_error (operation_not_permitted) if it is not
  /// the owner.
  void unlock();

 private:
  bool again();
  bool first();

  mutex inner_;
  std::atomic<const void*> owner_{
      nullptr};  // written by the owner only, so a fiber recognises itself without a lock
  unsigned depth_ = 0;
};

}  // namespace coir

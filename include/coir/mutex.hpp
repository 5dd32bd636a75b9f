#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "coir/detail/lock_word.hpp"
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
  /// Throws cancelled, timed_out or what was raised if the fiber should end, also if the lock is free; then
  /// it is not held.
  void lock() {
    if (__builtin_expect(!detail::may_lock_at_once() || !try_fast(), 0)) lock_slow();
  }
  /// Takes the lock if it is free. Never suspends.
  bool try_lock() noexcept { return try_fast(); }
  /// Takes the lock, waiting at most `d`; false if that passed first. Throws as lock; std::invalid_argument
  /// if `d` is negative.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::mutex::try_lock_for", d);
    return (detail::may_lock_at_once() && try_fast()) || lock_until(detail::deadline_after(ns));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> t) {
    return (detail::may_lock_at_once() && try_fast()) || lock_until(detail::deadline_at(t));
  }
  /// Gives the lock to the longest waiting, or frees it. Never suspends. Throws std::system_error
  /// (operation_not_permitted), naming who holds it, if that is not the caller; a lock_guard cannot let that
  /// out, and the program ends with it.
  void unlock() {
    if (__builtin_expect(detail::single_threaded(), 1)) {
      if (__builtin_expect(detail::held_here(state_), 1)) {
        state_.store(detail::nobody, std::memory_order_relaxed);
        return;
      }
    } else {
      const std::uintptr_t mine = detail::held_by_caller();
      if (__builtin_expect(state_.load(std::memory_order_relaxed) == mine, 1)) return unlock_known(mine);
    }
    unlock_slow();
  }

 private:
  friend class condition_variable;
  friend class recursive_mutex;

  bool try_fast() noexcept {
    if (__builtin_expect(detail::single_threaded(), 1)) {
      if (__builtin_expect(state_.load(std::memory_order_relaxed) != detail::nobody, 0)) return false;
      detail::hold_here(state_);
      return true;
    }
    std::uintptr_t expected = detail::nobody;
    return state_.compare_exchange_strong(expected, detail::held_by_caller(),
                                          std::memory_order_acquire);  // pairs with unlock
  }
  void lock_slow();
  bool lock_until(std::int64_t deadline_ns);
  bool wait_for_lock(std::int64_t deadline_ns, bool interruptible);
  // Around a wait without it: `holder` is what expect_caller said.
  void unlock_again(std::uintptr_t holder) noexcept;
  void lock_again(std::uintptr_t holder) noexcept;
  void unlock_slow();
  // The caller is the holder, and there are other threads.
  void unlock_known(std::uintptr_t holder) noexcept {
    // A subtraction, because it is faster than an exchange, and what it leaves if the mutex has become wanted
    // is not `nobody`. release: pairs with the acquire in try_fast.
    if (__builtin_expect(state_.fetch_sub(holder, std::memory_order_release) != holder, 0)) {
      state_.fetch_add(holder, std::memory_order_relaxed);
      leave(holder);
    }
  }
  void leave(std::uintptr_t holder) noexcept;
  std::uintptr_t expect_caller(const char* what) const;

  std::atomic<std::uintptr_t> state_{detail::nobody};  // lock_word
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

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "coir/detail/fiber_base.hpp"
#include "coir/detail/time.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir {

/// A lock that one writer or any number of readers hold: between fibers of one thread, of several threads,
/// and plain threads. Meets the standard's SharedTimedLockable, for std::unique_lock and std::shared_lock.
///
/// Served in the order of their coming: a reader that comes after a waiting writer waits for it, so neither
/// side starves, and readers that wait in a row go on together. Held across waits if need be. Unlocked by
/// the fiber (or plain thread) that locked it. Not recursive, and a reader cannot become a writer: it would
/// wait for itself. Destroyed only when unlocked and unwanted.
class shared_mutex {
 public:
  shared_mutex() noexcept = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  /// Takes the lock for writing. Suspends while others have it or wait for it.
  /// Throws cancelled, timed_out or what was raised if the fiber should end, also if the lock is free; then
  /// it is not held.
  void lock() {
    if (!try_at_once(writing)) lock_until(detail::never_ns, writing);
  }
  /// Takes the lock for writing if nobody has it or waits for it. Never suspends.
  bool try_lock() noexcept { return try_take(writing); }
  /// Takes the lock for writing, waiting at most `d`; false if that passed first. Throws as lock;
  /// std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::shared_mutex::try_lock_for", d);
    return try_at_once(writing) || lock_until(detail::deadline_after(ns), writing);
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> t) {
    return try_at_once(writing) || lock_until(detail::deadline_at(t), writing);
  }
  /// Ends writing; gives the lock to those who wait longest. Never suspends. Throws std::system_error
  /// (operation_not_permitted) if the caller does not write.
  void unlock() { release(writing); }

  /// Takes the lock for reading. Suspends while a writer has it or waits for it. Throws as lock.
  void lock_shared() {
    if (!try_at_once(reading)) lock_until(detail::never_ns, reading);
  }
  /// Takes the lock for reading if no writer has it and nobody waits for it. Never suspends.
  bool try_lock_shared() noexcept { return try_take(reading); }
  /// Takes the lock for reading, waiting at most `d`; false if that passed first. Throws as try_lock_for.
  template <class Rep, class Period>
  bool try_lock_shared_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::shared_mutex::try_lock_shared_for", d);
    return try_at_once(reading) || lock_until(detail::deadline_after(ns), reading);
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> t) {
    return try_at_once(reading) || lock_until(detail::deadline_at(t), reading);
  }
  /// Ends reading; the last reader gives the lock to those who wait longest. Never suspends. Throws
  /// std::system_error (operation_not_permitted) if nobody reads.
  void unlock_shared() { release(reading); }

 private:
  enum use : std::ptrdiff_t { writing = -1, reading = 1 };

  bool free_for_locked(use u) const noexcept { return u == writing ? held_ == 0 : held_ >= 0; }
  bool try_take(use u) noexcept {
    waiters_.lock.lock();
    const bool got = free_for_locked(u) && waiters_.empty();
    if (got) take_locked(u, detail::owner_mark());
    waiters_.lock.unlock();
    return got;
  }
  bool try_at_once(use u) noexcept { return detail::may_lock_at_once() && try_take(u); }
  void take_locked(use u, std::uintptr_t who) noexcept {
    held_ += u;
    if (u == writing) writer_ = who;
  }
  void release(use u) {
    waiters_.lock.lock();
    if (__builtin_expect(u == writing ? held_ != writing || writer_ != detail::owner_mark() : held_ <= 0, 0))
      check_release_locked(u);
    held_ -= u;
    if (!waiters_.empty()) serve_locked();
    waiters_.lock.unlock();
  }
  void check_release_locked(use u);  // unlocks if it throws
  bool lock_until(std::int64_t deadline_ns, use u);
  // `beginner` is not asleep yet: it need not be woken.
  void serve_locked(const detail::wait_node* beginner = nullptr) noexcept;

  detail::wait_list waiters_;
  std::ptrdiff_t held_ = 0;    // readers, or -1: a writer; guarded by waiters_.lock
  std::uintptr_t writer_ = 0;  // its owner_mark; void while there is none
};

}  // namespace coir

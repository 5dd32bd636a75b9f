#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "coir/detail/switch.hpp"
#include "coir/mutex.hpp"

namespace coir {

/// A condition variable for coir::mutex, as std::condition_variable is for std::mutex.
///
/// Waiters are notified in the order of their coming. Usable from fibers of any thread and from plain
/// threads.
class condition_variable {
 public:
  condition_variable() noexcept = default;
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  /// Releases `lock`, waits for a notification, takes it again. Suspends. Spurious wake-ups do not happen,
  /// but others may have run since the notification. Throws cancelled, timed_out or what was raised; `lock`
  /// is held again then. Throws std::system_error (operation_not_permitted) if the caller does not hold it.
  void wait(std::unique_lock<mutex>& lock) {
    detail::wait_frame frame;
    detail::switch_fibers(begin_wait(frame, *lock.mutex()));
    finish_wait(frame, *lock.mutex());
  }

  /// Waits until `ready()` holds.
  template <class Predicate>
  void wait(std::unique_lock<mutex>& lock, Predicate ready) {
    while (!ready()) wait(lock);
  }

  /// Waits at most `d`. Throws as wait; std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  std::cv_status wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::condition_variable::wait_for", d);
    return status(wait_until_ns(lock, detail::deadline_after(ns)));
  }
  /// Waits until `ready()` holds, at most `d`; returns `ready()`.
  template <class Rep, class Period, class Predicate>
  bool wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> d, Predicate ready) {
    const std::int64_t at =
        detail::deadline_after(detail::checked_duration("coir::condition_variable::wait_for", d));
    while (!ready())
      if (!wait_until_ns(lock, at)) return ready();
    return true;
  }
  /// Waits until the point `t` of any clock.
  template <class Clock, class Duration>
  std::cv_status wait_until(std::unique_lock<mutex>& lock, std::chrono::time_point<Clock, Duration> t) {
    return status(wait_until_ns(lock, detail::deadline_at(t)));
  }
  /// Waits until `ready()` holds, at most until `t`; returns `ready()`.
  template <class Clock, class Duration, class Predicate>
  bool wait_until(std::unique_lock<mutex>& lock, std::chrono::time_point<Clock, Duration> t,
                  Predicate ready) {
    while (!ready())
      if (!wait_until_ns(lock, detail::deadline_at(t))) return ready();
    return true;
  }

  /// Wakes the longest waiting, if any. Never suspends; the mutex need not be held.
  void notify_one() noexcept;
  /// Wakes all who wait now. Never suspends.
  void notify_all() noexcept;

 private:
  static std::cv_status status(bool notified) noexcept {
    return notified ? std::cv_status::no_timeout : std::cv_status::timeout;
  }
  detail::switch_request begin_wait(detail::wait_frame& frame, mutex& m);
  void finish_wait(detail::wait_frame& frame, mutex& m);
  bool wait_until_ns(std::unique_lock<mutex>& lock, std::int64_t deadline_ns);

  detail::wait_list waiters_;
};

}  // namespace coir

#pragma once

#include <atomic>
#include <chrono>

#include "coir/detail/time.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir {

namespace detail {
class future_core;
struct select_core;
}  // namespace detail

/// A flag to wait for. Any number of fibers and plain threads wait; `set` wakes them all, also if `reset`
/// follows.
class event {
 public:
  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Raises the flag and wakes all who wait. Never suspends.
  void set() noexcept;
  /// Lowers the flag. Never suspends.
  void reset() noexcept;
  /// Whether the flag is up.
  bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }  // pairs with set

  /// Waits until the flag is up. Suspends. Throws cancelled, timed_out or what was raised.
  void wait() { wait_until_ns(detail::never_ns); }
  /// The same for at most `d`; false if that passed first. Throws as wait; std::invalid_argument if `d` is
  /// negative.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> d) {
    return wait_until_ns(detail::deadline_after(detail::checked_duration("coir::event::wait_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool wait_until(std::chrono::time_point<Clock, Duration> t) {
    return wait_until_ns(detail::deadline_at(t));
  }

 private:
  friend class detail::future_core;
  friend struct detail::select_core;
  bool wait_until_ns(std::int64_t deadline_ns);

  std::atomic<bool> set_{false};  // written with the lock held
  detail::wait_list waiters_;
};

}  // namespace coir

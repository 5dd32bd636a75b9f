#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>

#include "coir/event.hpp"

namespace coir {

/// A count that goes down to zero once, to be waited for by fibers of any thread and plain threads; as
/// std::latch.
class latch {
 public:
  /// `expected`: how often it is to be counted down. Throws std::invalid_argument if negative.
  explicit latch(std::ptrdiff_t expected);
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  /// The largest count.
  static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }

  /// Counts down by `n`; who makes it zero wakes all who wait. Never suspends. Throws std::invalid_argument
  /// if `n` is negative or more than is left; nothing is counted then.
  void count_down(std::ptrdiff_t n = 1);
  /// Whether the count is zero. Never suspends.
  bool try_wait() const noexcept { return zero_.is_set(); }
  /// Waits until the count is zero. Suspends. Throws cancelled, timed_out or what was raised.
  void wait() { zero_.wait(); }
  /// The same for at most `d`; false if that passed first. Throws as wait; std::invalid_argument if `d` is
  /// negative.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> d) {
    return zero_.wait_for(d);
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool wait_until(std::chrono::time_point<Clock, Duration> t) {
    return zero_.wait_until(t);
  }
  /// Counts down and waits: what was counted stays so, also if the wait is interrupted. Throws as both.
  void arrive_and_wait(std::ptrdiff_t n = 1) {
    count_down(n);
    wait();
  }

 private:
  std::atomic<std::ptrdiff_t> left_;
  event zero_;
};

}  // namespace coir

#pragma once

#include <chrono>
#include <cstddef>
#include <limits>

#include "coir/detail/switch.hpp"
#include "coir/detail/time.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir {

/// A counting semaphore. Permits go to waiters in the order of their coming; nobody overtakes a waiter.
class semaphore {
 public:
  /// `permits`: how many can be acquired at once. `most`: how many there may ever be, as of a
  /// BoundedSemaphore. Throws std::invalid_argument if `permits` is negative or more than `most`.
  explicit semaphore(std::ptrdiff_t permits,
                     std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max());
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Takes a permit. Suspends while there is none. Throws cancelled, timed_out or what was raised; no permit
  /// is lost.
  void acquire() {
    detail::wait_frame frame;
    const detail::switch_request r = begin_acquire(frame);
    if (__builtin_expect(r.self == nullptr, 1)) return;
    detail::switch_fibers(r);
    finish_acquire(frame);
  }
  /// Takes a permit if there is one and nobody waits for it. Never suspends.
  bool try_acquire() noexcept;
  /// Takes a permit, waiting at most `d`; false if that passed first. Throws as acquire;
  /// std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> d) {
    return acquire_until(
        detail::deadline_after(detail::checked_duration("coir::semaphore::try_acquire_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool try_acquire_until(std::chrono::time_point<Clock, Duration> t) {
    return acquire_until(detail::deadline_at(t));
  }
  /// Adds `n` permits. Never suspends. Throws std::invalid_argument if `n` is negative; std::logic_error if
  /// there would be more than `most`: more was released than acquired. No permit is added then.
  void release(std::ptrdiff_t n = 1);
  /// Permits free at this moment.
  std::ptrdiff_t available() const noexcept;

 private:
  bool acquire_until(std::int64_t deadline_ns);
  detail::switch_request begin_acquire(detail::wait_frame& frame);
  void finish_acquire(detail::wait_frame& frame);

  mutable detail::wait_list waiters_;
  std::ptrdiff_t permits_;  // guarded by waiters_.lock; positive only while nobody waits
  std::ptrdiff_t most_;
};

}  // namespace coir

// How long a call on a lock may wait, and how often it looks for changes that nobody announces.
#pragma once

#include <errno.h>

#include <algorithm>

#include "posix/descriptor.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {

// A point of a clock that a program gave, as deadlines of the scheduler's clock.
class limit {
 public:
  limit() noexcept = default;  // none
  limit(clockid_t clock, const timespec& at) noexcept : clock_(clock), at_(base::from_timespec(at)) {}

  // What POSIX asks of the point's nanoseconds.
  static bool valid(const timespec& t) noexcept { return t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000; }

  bool none() const noexcept { return at_ == base::never; }
  bool passed() const noexcept { return at_ != base::never && left() <= 0; }
  // When to look again: at the point, and on a clock that can be set within a minute.
  base::nanoseconds deadline(scheduler& s) const noexcept {
    if (at_ == base::never) return base::never;
    constexpr base::nanoseconds minute = 60'000'000'000;
    const base::nanoseconds wait = clock_ == CLOCK_MONOTONIC ? left() : std::min(left(), minute);
    return base::add_saturated(s.now(), std::max<base::nanoseconds>(wait, 0));
  }

 private:
  base::nanoseconds left() const noexcept {
    timespec now;
    ::clock_gettime(clock_, &now);
    return at_ - base::from_timespec(now);
  }

  clockid_t clock_ = CLOCK_MONOTONIC;
  base::nanoseconds at_ = base::never;
};

// For waits that libc's own code, another process or a raw system call may end without a word to coir: looks
// after 1 ms, 2 ms … 16 ms.
class recheck {
 public:
  base::nanoseconds next(scheduler& s, base::nanoseconds deadline) noexcept {
    const base::nanoseconds at = s.now() + step_;
    step_ = std::min<base::nanoseconds>(2 * step_, 16'000'000);
    return std::min(at, deadline);
  }

  // Until it is time to look again. 0, or -errno of the interruption.
  long rest(scheduler& s, const char* name) noexcept {
    if (const int error = wait::interrupt_errno(*s.current())) return -error;
    wait::waiter w(s);
    w.ended_by = wait::ending_handlers::without_restart;
    return -wait::error_of(wait::park_until(w, name, next(s, base::never)), *s.current());
  }

 private:
  base::nanoseconds step_ = 1'000'000;
};

// Who holds a lock, in the 32 bits that libc has for it: a thread's number for its main fiber, so that the
// plain calls of the same thread agree; for other fibers a number that no thread has (those end at 2^22).
inline std::uint32_t owner_tag(scheduler& s) noexcept {
  const sched::fiber* f = s.current();
  if (__builtin_expect(f->has(sched::is_main), 0)) return static_cast<std::uint32_t>(s.thread_id());
  return 0x40000000U | static_cast<std::uint32_t>(f->id & 0x3fffffff);
}
// The same for a lock that other processes may use, whose fibers have the same numbers: of 2^30 that no
// thread has one that is mixed of the fiber and the process.
std::uint32_t shared_owner_tag(scheduler& s) noexcept;
inline bool is_fiber_tag(std::uint32_t tag) noexcept {
  return (tag & 0x40000000U) != 0;
}

}  // namespace coir::posix

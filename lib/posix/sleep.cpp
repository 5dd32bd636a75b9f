// Every sleep is a wait for nothing with a deadline. The deadline is computed once, on the monotonic clock.
#include "posix/sleep.hpp"

#include <errno.h>

#include <algorithm>

#include "posix/descriptor.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {
namespace {

bool valid(const timespec& t) noexcept {
  return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000;
}

// 0, or an errno: EINTR after a signal, ECANCELED, ETIMEDOUT.
int sleep_until(scheduler& s, base::nanoseconds deadline, const char* name) noexcept {
  if (const int error = wait::interrupt_errno(*s.current())) return error;
  wait::waiter w(s);
  w.ended_by = wait::ending_handlers::all;
  return wait::error_of(wait::park_until(w, name, deadline), *s.current());
}

// The same for a duration; what is left of it goes to `*left` if that is not null.
int sleep_for(const timespec& duration, timespec* left, const char* name) noexcept {
  scheduler& s = *scheduler::existing();
  const base::nanoseconds ns = base::from_timespec(duration);
  if (ns == 0) {
    s.yield_any();
    return wait::interrupt_errno(*s.current());
  }
  const base::nanoseconds deadline = base::add_saturated(s.now(), ns);
  const int error = sleep_until(s, deadline, name);
  if (error != 0 && left != nullptr)
    *left = base::to_timespec(std::max<base::nanoseconds>(deadline - s.now(), 0));
  return error;
}

}  // namespace

void yield() noexcept {
  scheduler& s = *scheduler::existing();
  if (s.guest() == nullptr) {
    // With nobody else to run, whoever spins on another thread's progress means that thread.
    if (!s.has_ready()) sys::real.sched_yield();
    return s.yield();
  }
  sys::real.sched_yield();
  s.guest()->spin();
}

unsigned sleep(unsigned seconds) noexcept {
  timespec left = {};
  const int error = sleep_for({static_cast<time_t>(seconds), 0}, &left, "sleep");
  if (error == 0) return 0;
  errno = error;
  // libc counts whole seconds only. A cancelled sleep must not look like one that ended.
  return static_cast<unsigned>(left.tv_sec + (error != EINTR && left.tv_nsec > 0 ? 1 : 0));
}

int usleep(useconds_t microseconds) noexcept {
  const timespec t = {microseconds / 1'000'000, microseconds % 1'000'000 * 1000L};
  return static_cast<int>(answer(-sleep_for(t, nullptr, "usleep")));
}

int nanosleep(const timespec* duration, timespec* left) noexcept {
  if (!valid(*duration)) return static_cast<int>(answer(-EINVAL));
  return static_cast<int>(answer(-sleep_for(*duration, left, "nanosleep")));
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* t, timespec* left) noexcept {
  timespec now;
  const bool goes_steadily =
      clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
  if (!goes_steadily) {
    // Most other clocks cannot be slept on; the kernel knows.
    if (clock == CLOCK_THREAD_CPUTIME_ID) return EINVAL;
    now = {};
    if (const long r = sys::raw(SYS_clock_nanosleep, clock, 0, sys::word(&now), 0); r != 0)
      return static_cast<int>(-r);
  }
  if (!valid(*t)) return EINVAL;
  const bool absolute = (flags & TIMER_ABSTIME) != 0;
  if (!absolute && goes_steadily) return sleep_for(*t, left, "clock_nanosleep");
  scheduler& s = *scheduler::existing();
  // A clock that is set meanwhile is seen within a minute.
  constexpr base::nanoseconds look_again = 60'000'000'000;
  ::clock_gettime(clock, &now);
  const base::nanoseconds at =
      base::add_saturated(base::from_timespec(*t), absolute ? 0 : base::from_timespec(now));
  for (;;) {
    ::clock_gettime(clock, &now);
    const base::nanoseconds distance = at - base::from_timespec(now);
    if (distance <= 0) return 0;
    const bool settable = clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME;
    const base::nanoseconds step = settable ? std::min(distance, look_again) : distance;
    if (const int error = sleep_until(s, base::add_saturated(s.now(), step), "clock_nanosleep")) return error;
  }
}

int pause() noexcept {
  scheduler& s = *scheduler::existing();
  s.external_wait(1);
  const int error = sleep_until(s, base::never, "pause");
  s.external_wait(-1);
  return static_cast<int>(answer(-error));
}

}  // namespace coir::posix

#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "coir/detail/switch.hpp"
#include "coir/detail/time.hpp"

namespace coir::detail {
void sleep_until_ns(std::int64_t deadline_ns);
void sleep_for_ns(std::int64_t ns);
switch_request begin_yield();
void finish_interrupted_yield(fiber_base* self);  // throws, unless the stack unwinds
}  // namespace coir::detail

/// The running fiber. A thread's own stack is its main fiber, so these work everywhere but in signal
/// handlers.
namespace coir::this_fiber {

/// Lets the other ready fibers of this thread run first. Throws cancelled, timed_out or what was raised.
inline void yield() {
  const detail::switch_request r = detail::begin_yield();
  detail::switch_fibers(r);
  if (__builtin_expect(r.self->pending != 0, 0)) detail::finish_interrupted_yield(r.self);
}

/// Sleeps for `d`, never less; zero yields. Suspends. Throws cancelled, timed_out or what was raised;
/// std::invalid_argument if `d` is negative.
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> d) {
  detail::sleep_for_ns(detail::checked_duration("coir::this_fiber::sleep_for", d));
}

/// Sleeps until the point `t` of any clock; a past one yields. Suspends. Throws as sleep_for.
template <class Clock, class Duration>
void sleep_until(std::chrono::time_point<Clock, Duration> t) {
  do {
    detail::sleep_until_ns(detail::deadline_at(t));
  } while (detail::is_ahead(t));
}

/// The fiber's number; no other fiber of the process has had it. Never suspends.
std::uint64_t id();

/// The name given at spawn, "fiber", or "main". Never suspends.
std::string_view name();

/// Throws cancelled, timed_out or what was raised if the fiber should end, by whatever has come or become due
/// until this very moment. For long computations, and where a patched call has failed: was it ECANCELED or
/// ETIMEDOUT by coir's doing? Suspends only where it, and calls that need not wait, have been made for half a
/// millisecond without a wait: then the other ready fibers run first, perhaps one that cancels this one.
void check_cancelled();

/// Keeps cancellation, raised exceptions and the timeouts around it from ending waits while it lives; they
/// are delivered after it. For clean-up that must wait. Timeouts made inside work. Nests; left by the fiber
/// that made it.
///
/// A destructor that waits needs one wherever the fiber may have been cancelled and have caught that: each
/// later wait throws coir::cancelled again, and what a destructor throws ends the program (std::terminate).
/// While the cancellation itself unwinds the stack, waits are not interrupted anyway.
class shield {
 public:
  shield();
  ~shield();
  shield(const shield&) = delete;
  shield& operator=(const shield&) = delete;

 private:
  const detail::fiber_base* of_;
};

}  // namespace coir::this_fiber

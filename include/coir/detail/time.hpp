// Durations and time points of the public API, in nanoseconds. Internal.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace coir::detail {

inline constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();

[[noreturn]] void negative_duration(const char* where, long double seconds);
std::int64_t now_ns();  // the scheduler's clock

// Nanoseconds, rounded up so that nothing ends early; values beyond what 64 bits hold become the ends of that
// range, and what is no number the lower one.
template <class Rep, class Period>
std::int64_t to_ns(std::chrono::duration<Rep, Period> d) noexcept {
  using seconds = std::chrono::duration<long double>;
  if (seconds(d).count() >= 9.2e9L) return never_ns;
  if (!(seconds(d).count() > -9.2e9L)) return std::numeric_limits<std::int64_t>::min();
  if constexpr (std::is_floating_point_v<Rep>)
    return static_cast<std::int64_t>(std::chrono::ceil<std::chrono::nanoseconds>(d).count());
  else
    return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
}

// Throws std::invalid_argument naming `where` and the value if `d` is negative, or no number.
template <class Rep, class Period>
std::int64_t checked_duration(const char* where, std::chrono::duration<Rep, Period> d) {
  if (!(d >= d.zero())) negative_duration(where, std::chrono::duration<long double>(d).count());
  return to_ns(d);
}

inline std::int64_t deadline_after(std::int64_t ns) {
  std::int64_t at;
  return ns == never_ns || __builtin_add_overflow(now_ns(), ns, &at) ? never_ns : at;
}

// A point of any clock as a deadline on the scheduler's clock.
template <class Clock, class Duration>
std::int64_t deadline_at(std::chrono::time_point<Clock, Duration> t) {
  // Not t - now(): the ends of time are that far from everything that the difference overflows.
  const std::int64_t at = to_ns(t.time_since_epoch()), now = to_ns(Clock::now().time_since_epoch());
  std::int64_t left;
  if (at <= now) return now_ns();
  return at == never_ns || __builtin_sub_overflow(at, now, &left) ? never_ns : deadline_after(left);
}

// Whether a point of any clock is still to come. Not by the clock's own comparison alone, for which the ends
// of time of a coarse one may be too far.
template <class Clock, class Duration>
bool is_ahead(std::chrono::time_point<Clock, Duration> t) {
  const auto now = Clock::now();
  const std::int64_t at = to_ns(t.time_since_epoch()), now_at = to_ns(now.time_since_epoch());
  return at != now_at ? at > now_at : now < t;
}

}  // namespace coir::detail

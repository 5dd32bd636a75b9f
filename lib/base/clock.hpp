// Time inside coir: nanoseconds of CLOCK_MONOTONIC in 64 bits, and deadlines on that scale.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>
#include <limits>

namespace coir::base {

using nanoseconds = std::int64_t;  // a duration, or a point on CLOCK_MONOTONIC

inline constexpr nanoseconds never = std::numeric_limits<nanoseconds>::max();

inline nanoseconds monotonic_now() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<nanoseconds>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// a + b for b >= 0, held at `never`.
inline nanoseconds add_saturated(nanoseconds a, nanoseconds b) noexcept {
  nanoseconds sum;
  return __builtin_add_overflow(a, b, &sum) ? never : sum;
}

// Before anything that happens; the distance from it to any present still is a number.
inline constexpr nanoseconds long_past = std::numeric_limits<nanoseconds>::min() / 2;

inline nanoseconds from_timespec(const timespec& t) noexcept {
  nanoseconds ns;
  if (__builtin_mul_overflow(static_cast<nanoseconds>(t.tv_sec), nanoseconds{1'000'000'000}, &ns))
    return t.tv_sec < 0 ? long_past : never;
  return ns < long_past ? long_past : add_saturated(ns, t.tv_nsec);
}

inline timespec to_timespec(nanoseconds ns) noexcept {
  timespec t;
  t.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  t.tv_nsec = static_cast<long>(ns % 1'000'000'000);
  return t;
}

}  // namespace coir::base

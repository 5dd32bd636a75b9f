#pragma once

#include <chrono>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "coir/detail/time.hpp"
#include "coir/fiber.hpp"

namespace coir {

namespace detail {

// Sleeps until a deadline. Throws as this_fiber::sleep_for.
void sleep_until_ns(std::int64_t deadline_ns);
// Throws std::invalid_argument unless `period_ns` is positive.
void check_period(std::int64_t period_ns);
// Sleeps until the first multiple of `period_ns` after `begin_ns` that has not passed, and whose number is
// greater than `tick`; that becomes `tick`.
void sleep_to_tick(std::int64_t begin_ns, std::int64_t period_ns, std::int64_t& tick);

template <class Call>
struct later_call {
  std::int64_t at;
  Call call;

  decltype(auto) operator()() {
    sleep_until_ns(at);
    return call();
  }
};

}  // namespace detail

/// As coir::spawn, but the fiber calls `f(args...)` only when `d` has passed since this call. Cancelled
/// before that, it ends without having called it.
///
/// Never suspends. Throws as coir::spawn; std::invalid_argument if `d` is negative.
template <class Rep, class Period, class F, class... Args>
auto spawn_later(std::chrono::duration<Rep, Period> d, F&& f, Args&&... args) {
  using call = detail::call_of<F, Args...>;
  const std::int64_t at = detail::deadline_after(detail::checked_duration("coir::spawn_later", d));
  if constexpr (sizeof...(Args) == 0)
    return spawn(detail::later_call<call>{at, call{std::forward<F>(f)}});
  else
    return spawn(detail::later_call<call>{at, call{std::forward<F>(f), {std::forward<Args>(args)...}}});
}

/// Calls `f()` in a fiber of its own, again and again: `period` from now, and every `period` after that.
///
/// The times do not drift: they are multiples of `period` after this call. If `f` takes longer, the times
/// missed meanwhile are left out. The fiber goes on until it is cancelled, or an exception leaves `f`, which
/// its handle keeps. Never suspends. Throws as coir::spawn; std::invalid_argument unless `period` is
/// positive.
template <class Rep, class Period, class F>
fiber<void> spawn_every(std::chrono::duration<Rep, Period> period, F&& f) {
  const std::int64_t ns = detail::checked_duration("coir::spawn_every", period);
  detail::check_period(ns);
  return spawn([f = std::forward<F>(f), begin = detail::now_ns(), ns]() mutable {
    for (std::int64_t tick = 0;;) {
      detail::sleep_to_tick(begin, ns, tick);
      f();
    }
  });
}

}  // namespace coir

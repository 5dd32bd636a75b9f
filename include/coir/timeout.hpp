#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "coir/detail/time.hpp"

namespace coir {

/// Thrown out of coir calls of a fiber that was cancelled (`fiber<T>::cancel`), again and again until the
/// fiber ends. Deliberately not a std::exception, so that `catch (const std::exception&)` does not swallow
/// it.
class cancelled {};

/// Thrown in the main fiber when no fiber of the process can ever run again; every fiber has been described
/// on stderr before. Looked for only as long as the process has never had a second thread, which might wake
/// one; thread_pool, offload and calls that are made on helper threads begin some.
class deadlock : public std::exception {
 public:
  /// Says so in words.
  const char* what() const noexcept override {
    return "coir: deadlock: every fiber waits, and nothing can wake one";
  }
};

class timeout;

/// Thrown out of coir calls while a `timeout` scope around them has expired.
class timed_out : public std::exception {
 public:
  /// `scope`: the address of the scope that expired.
  explicit timed_out(const void* scope) noexcept : scope_(scope) {}
  /// Says so in words.
  const char* what() const noexcept override { return "coir: timed out"; }
  /// Whether `t` is the scope that expired; tells nested scopes apart. `t` may have been left already.
  bool from(const timeout& t) const noexcept { return scope_ == static_cast<const void*>(&t); }
  /// The address of the scope that expired.
  const void* scope() const noexcept { return scope_; }

 private:
  const void* scope_;
};

/// Limits the time of everything its fiber waits for while the scope lives.
///
/// Once the time is over, each wait of this fiber inside the scope fails: a coir call throws `timed_out`
/// naming this scope, a patched libc call returns -1 with ETIMEDOUT. It stays so until the scope is left. A
/// fiber that does not wait is not stopped. Of several expired scopes the one that expired first is named.
/// Calls that C++ or a library makes may swallow the ETIMEDOUT (std::this_thread::sleep_for returns, a stream
/// is at its end): who must not take what then comes for the whole asks `cut_short`, or calls `check` as the
/// last thing in the scope; `with_timeout` does so by itself.
///
/// Context: the fiber that made it leaves it. Not movable.
class timeout {
 public:
  /// Starts the time: `d`, any std::chrono duration; zero expires at the next wait. Throws
  /// std::invalid_argument if negative. Never suspends.
  template <class Rep, class Period>
  explicit timeout(std::chrono::duration<Rep, Period> d)
      : timeout(nanoseconds_tag{}, detail::checked_duration("coir::timeout", d)) {}
  /// Expires at the point `t` of any clock; at the next wait if that has passed.
  template <class Clock, class Duration>
  explicit timeout(std::chrono::time_point<Clock, Duration> t)
      : timeout(deadline_tag{}, detail::deadline_at(t)) {}
  ~timeout();
  timeout(const timeout&) = delete;
  timeout& operator=(const timeout&) = delete;

  /// Whether the time is over. Never suspends.
  bool expired() const noexcept;
  /// Whether the time was over and ended patched calls, by ETIMEDOUT, while `timed_out` has not been thrown
  /// for this scope: what was made in it since may be a part only. `reset` and `cancel` forget it. Never
  /// suspends.
  bool cut_short() const noexcept;
  /// Throws `timed_out`, naming this scope, if `cut_short`. Never suspends.
  void check() const;
  /// Begins anew with `d` from now, also if it had expired or was cancelled; what was thrown already was.
  /// Throws std::invalid_argument if `d` is negative, and changes nothing then.
  template <class Rep, class Period>
  void reset(std::chrono::duration<Rep, Period> d) {
    reset_ns(detail::deadline_after(detail::checked_duration("coir::timeout::reset", d)));
  }
  /// The same with a point of any clock.
  template <class Clock, class Duration>
  void reset(std::chrono::time_point<Clock, Duration> t) {
    reset_ns(detail::deadline_at(t));
  }
  /// Takes the limit away; no effect on what was thrown already. Never suspends.
  void cancel() noexcept;

 private:
  struct nanoseconds_tag {};
  struct deadline_tag {};
  timeout(nanoseconds_tag, long long ns);
  timeout(deadline_tag, long long at_ns);
  void reset_ns(long long at_ns) noexcept;
  alignas(8) std::byte scope_[96];
};

/// For `with_timeout`: what the function returns is its result, though a patched call in it was ended.
struct as_returned_t {};
/// The value of that type.
inline constexpr as_returned_t as_returned{};

namespace detail {

// Calls `f` under a timeout. `whole`: a result made after a patched call was ended, unheard, is none.
template <class F, class Take>
bool in_time(std::int64_t ns, bool whole, F&& f, Take&& take) {
  timeout scope{std::chrono::nanoseconds(ns)};
  try {
    take(std::forward<F>(f));
    return !whole || !scope.cut_short();
  } catch (const timed_out& e) {
    if (!e.from(scope)) throw;
    return false;
  }
}

template <class F>
auto limited(std::int64_t ns, F&& f, bool whole) {
  using result = std::invoke_result_t<F>;
  if constexpr (std::is_void_v<result>) {
    return in_time(ns, whole, std::forward<F>(f), [](auto&& g) { std::forward<decltype(g)>(g)(); });
  } else {
    // Outlives the scope: its destructor may wait.
    std::optional<std::remove_cvref_t<result>> made;
    const bool counts = in_time(ns, whole, std::forward<F>(f),
                                [&](auto&& g) { made.emplace(std::forward<decltype(g)>(g)()); });
    if (!counts) return std::optional<std::remove_cvref_t<result>>();
    return made;
  }
}

}  // namespace detail

/// Calls `f` under a timeout of `d` and returns its result, or an empty optional (false for void functions)
/// if the time was over first and ended it by `timed_out`, or ended a patched call in it by ETIMEDOUT and `f`
/// returned all the same: what it returns then may be a part only, and is dropped. A function that catches
/// `timed_out` itself (by `this_fiber::check_cancelled`, if it makes patched calls only) knows what it
/// returns, and so does one called with `as_returned`: see below. A `timed_out` of another scope passes
/// through, and so does another exception that `f` makes of a patched call's ETIMEDOUT.
///
/// Throws: what `f` throws; std::invalid_argument if `d` is negative. Suspends: as `f` does.
template <class Rep, class Period, class F>
auto with_timeout(std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::limited(detail::checked_duration("coir::timeout", d), std::forward<F>(f), true);
}

/// The same for a function that looks at ETIMEDOUT itself: its result counts whenever it returns one.
template <class Rep, class Period, class F>
auto with_timeout(std::chrono::duration<Rep, Period> d, F&& f, as_returned_t) {
  return detail::limited(detail::checked_duration("coir::timeout", d), std::forward<F>(f), false);
}

}  // namespace coir

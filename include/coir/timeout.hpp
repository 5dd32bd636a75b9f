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
/// on stderr before.
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

/// Calls `f` under a timeout of `d` and returns its result, or an empty optional (false for void functions)
/// if the time was over first and ended it by `timed_out`. A `timed_out` of another scope passes through, and
/// so does what `f` makes of a patched call's ETIMEDOUT, unless it asks `this_fiber::check_cancelled` first.
///
/// Throws: what `f` throws; std::invalid_argument if `d` is negative. Suspends: as `f` does.
template <class Rep, class Period, class F>
auto with_timeout(std::chrono::duration<Rep, Period> d, F&& f) {
  using result = std::invoke_result_t<F>;
  timeout scope(d);
  try {
    if constexpr (std::is_void_v<result>) {
      std::forward<F>(f)();
      return true;
    } else {
      return std::optional<std::remove_cvref_t<result>>(std::forward<F>(f)());
    }
  } catch (const timed_out& e) {
    if (!e.from(scope)) throw;
    if constexpr (std::is_void_v<result>)
      return false;
    else
      return std::optional<std::remove_cvref_t<result>>();
  }
}

}  // namespace coir

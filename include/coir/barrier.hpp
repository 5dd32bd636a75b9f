#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "coir/detail/time.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir {

namespace detail {

class barrier_core {
 public:
  // Throws std::invalid_argument if `expected` is negative.
  barrier_core(std::ptrdiff_t expected, void (*complete)(void* f) noexcept, void* f);

  std::uint64_t arrive(const char* where, std::ptrdiff_t n, bool drop);
  void wait(std::uint64_t phase);
  // Both; false at the deadline.
  bool arrive_and_wait(std::int64_t deadline_ns);

 private:
  void check_locked(const char* where, std::ptrdiff_t n);
  bool arrive_locked(std::ptrdiff_t n) noexcept;
  void complete_phase() noexcept;

  wait_list waiters_;  // its lock guards everything here
  std::uint64_t phase_ = 0;
  std::ptrdiff_t expected_;  // in the phases to come
  std::ptrdiff_t missing_;   // in this one
  bool completing_ = false;  // all were there, and the completion function runs
  void (*complete_)(void* f) noexcept;
  void* f_;
};

struct no_completion {
  void operator()() const noexcept {}
};

}  // namespace detail

/// A place where a number of fibers (of any thread) and plain threads wait for each other, phase after phase;
/// as std::barrier.
///
/// When all expected arrivals of a phase were made, the last to arrive calls the completion function, which
/// may suspend; then all who wait go on, and the next phase begins.
template <class CompletionFunction = detail::no_completion>
class barrier {
  static_assert(std::is_nothrow_invocable_v<CompletionFunction&>,
                "coir::barrier: the completion function must be noexcept");

 public:
  /// The phase in which an arrival was made.
  class arrival_token {
   public:
    arrival_token(arrival_token&&) noexcept = default;
    arrival_token& operator=(arrival_token&&) noexcept = default;

   private:
    friend class barrier;
    explicit arrival_token(std::uint64_t phase) noexcept : phase_(phase) {}
    std::uint64_t phase_;
  };

  /// `expected`: arrivals in each phase. Throws std::invalid_argument if negative.
  explicit barrier(std::ptrdiff_t expected, CompletionFunction f = CompletionFunction())
      : f_(std::move(f)),
        core_(
            expected, [](void* c) noexcept { (*static_cast<CompletionFunction*>(c))(); }, &f_) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  /// The largest `expected`.
  static constexpr std::ptrdiff_t max() noexcept { return std::numeric_limits<std::ptrdiff_t>::max(); }

  /// Arrives `n` times. Suspends only if the completion function does. Throws std::invalid_argument if `n` is
  /// less than one or more than are missing in this phase; nobody has arrived then.
  [[nodiscard]] arrival_token arrive(std::ptrdiff_t n = 1) {
    return arrival_token(core_.arrive("coir::barrier::arrive", n, false));
  }
  /// Waits until the phase of an arrival has ended. Suspends. Throws cancelled, timed_out or what was raised:
  /// the arrival stays counted.
  void wait(arrival_token&& arrival) { core_.wait(arrival.phase_); }
  /// Arrives and waits for the others. Suspends. Throws std::invalid_argument if nobody is missing in this
  /// phase; cancelled, timed_out or what was raised: then the arrival is taken back, and the others wait
  /// until it is made again, or arrive_and_drop instead. If the phase ends in the same moment, it just
  /// returns.
  void arrive_and_wait() { core_.arrive_and_wait(detail::never_ns); }
  /// The same for at most `d`; false if that passed first, and the arrival is taken back.
  /// std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool arrive_and_wait_for(std::chrono::duration<Rep, Period> d) {
    return core_.arrive_and_wait(
        detail::deadline_after(detail::checked_duration("coir::barrier::arrive_and_wait_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool arrive_and_wait_until(std::chrono::time_point<Clock, Duration> t) {
    return core_.arrive_and_wait(detail::deadline_at(t));
  }
  /// Arrives, and one less is expected in all later phases. Suspends only if the completion function does.
  /// Throws std::invalid_argument if nobody is missing in this phase.
  void arrive_and_drop() { core_.arrive("coir::barrier::arrive_and_drop", 1, true); }

 private:
  CompletionFunction f_;
  detail::barrier_core core_;
};

}  // namespace coir

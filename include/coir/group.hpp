#pragma once

#include <chrono>
#include <cstddef>
#include <utility>

#include "coir/detail/group_core.hpp"
#include "coir/detail/time.hpp"
#include "coir/fiber.hpp"

namespace coir {

/// What a group does when an exception other than coir::cancelled leaves one of its fibers.
enum class on_failure {
  go_on,         ///< The others go on; join throws the exception when all have ended.
  cancel_others  ///< The others are cancelled, as are those spawned until join has thrown it.
};

/// Fibers that belong together: none outlives the group.
///
/// A fiber leaves the group when it ends, so a group that lives long does not grow.
///
/// Context: the thread of its fibers; std::logic_error on others, where `cancel` says so on stderr and does
/// nothing. A group is destroyed there, and not by one of its own fibers: the program ends with a message. A
/// static one that `exit` destroys elsewhere is left as it is.
class group {
 public:
  /// `then`: what the end of one of them by an exception means for the others.
  explicit group(on_failure then = on_failure::go_on) noexcept : core_(then == on_failure::cancel_others) {}
  /// Cancels the fibers that still run and waits for their ends (whatever happens to the caller meanwhile).
  /// Suspends.
  ~group() = default;
  group(const group&) = delete;
  group& operator=(const group&) = delete;

  /// From now on exceptions that leave its fibers are told as `when` says. Never suspends.
  void report_failures(failure_report when) noexcept { core_.report_failures(when); }

  /// As coir::spawn, in this group.
  template <class... Args>
  auto spawn(Args&&... args) {
    auto f = coir::spawn(std::forward<Args>(args)...);
    core_.add_fresh(f.base());
    return f;
  }
  /// Takes in a fiber that was spawned elsewhere on this thread; no effect if it has ended well, and as if it
  /// ended now if not. Never suspends. Throws std::bad_alloc; std::invalid_argument if it is another
  /// thread's; std::logic_error if the handle belongs to no fiber.
  template <class T>
  void add(const fiber<T>& f) {
    f.ready();
    core_.add(f.base());
  }

  /// Waits until no fiber is left, those spawned meanwhile included. Suspends.
  /// Throws the first exception that left one of them (not coir::cancelled) since the last join; cancelled,
  /// timed_out or what was raised if the caller's wait is interrupted; std::system_error
  /// (resource_deadlock_would_occur) if the caller is one of them.
  void join() { core_.join(detail::never_ns); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) {
    return core_.join(detail::deadline_after(detail::checked_duration("coir::group::join_for", d)));
  }
  /// Cancels all fibers that are in the group; those spawned later are not cancelled. Never suspends.
  void cancel() noexcept { core_.cancel(); }
  /// Cancels all fibers that are in the group and waits at most `d` until they have ended, cleaning up
  /// included; whether they have. Suspends. Throws cancelled, timed_out or what was raised if the caller's
  /// wait is interrupted, std::invalid_argument if `d` is negative; what left the fibers is for join.
  template <class Rep, class Period>
  bool cancel_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::group::cancel_for", d);
    return core_.cancel_until(detail::deadline_after(ns));
  }
  /// Fibers that have not ended.
  std::size_t size() const noexcept { return core_.size(); }
  bool empty() const noexcept { return size() == 0; }

 private:
  detail::group_core core_;
};

}  // namespace coir

#pragma once

#include <chrono>
#include <cstddef>
#include <utility>

#include "coir/detail/wait_list.hpp"
#include "coir/fiber.hpp"

namespace coir {

namespace detail {

class group_core {
 public:
  group_core() noexcept = default;
  ~group_core();
  group_core(const group_core&) = delete;
  group_core& operator=(const group_core&) = delete;

  void add(fiber_base* f);
  bool join(std::int64_t deadline_ns);
  void cancel() noexcept;
  std::size_t size() const noexcept { return size_; }

 private:
  struct member;
  friend struct member;

  member* first_ = nullptr;
  std::size_t size_ = 0;
  wait_list joiners_;
  std::exception_ptr first_error_;
};

}  // namespace detail

/// Fibers that belong together: none outlives the group.
///
/// A fiber leaves the group when it ends, so a group that lives long does not grow. Context: one thread.
class group {
 public:
  group() noexcept = default;
  /// Cancels the fibers that still run and waits for their ends (whatever happens to the caller meanwhile).
  /// Suspends.
  ~group() = default;

  /// As coir::spawn, in this group.
  template <class... Args>
  auto spawn(Args&&... args) {
    auto f = coir::spawn(std::forward<Args>(args)...);
    core_.add(f.base());
    return f;
  }

  /// Waits until no fiber is left, those spawned meanwhile included. Suspends.
  /// Throws the first exception that left one of them (not coir::cancelled) since the last join; cancelled,
  /// timed_out or what was raised if the caller's wait is interrupted.
  void join() { core_.join(detail::never_ns); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) {
    return core_.join(detail::deadline_after(detail::checked_duration("coir::group::join_for", d)));
  }
  /// Cancels all fibers of the group. Never suspends.
  void cancel() noexcept { core_.cancel(); }
  /// Fibers that have not ended.
  std::size_t size() const noexcept { return core_.size(); }
  bool empty() const noexcept { return size() == 0; }

 private:
  detail::group_core core_;
};

}  // namespace coir

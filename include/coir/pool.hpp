#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <ranges>
#include <utility>

#include "coir/detail/pool_core.hpp"
#include "coir/detail/time.hpp"
#include "coir/fiber.hpp"
#include "coir/map.hpp"

namespace coir {

/// A group of at most so many fibers at once: `spawn` waits for room. None outlives the pool.
///
/// Room goes to those who wait for it in the order of their coming. Context: as of a group.
class pool {
 public:
  /// `n`: how many fibers at most. Throws std::invalid_argument if less than 1.
  explicit pool(std::ptrdiff_t n) : core_(n) {}
  /// Cancels the fibers that still run and waits for their ends (whatever happens to the caller meanwhile).
  /// Suspends. Nobody waits for room then, and no mapping of the pool is left.
  ~pool() = default;
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// As group::report_failures.
  void report_failures(failure_report when) noexcept { core_.report_failures(when); }

  /// Waits for room, then as coir::spawn. Suspends while the pool is full.
  /// Throws as coir::spawn; cancelled, timed_out or what was raised if the wait is interrupted;
  /// std::system_error (resource_deadlock_would_occur) if the caller is a fiber of this pool, and all others
  /// of it wait for its room like that already. Nothing was spawned then.
  template <class... Args>
  auto spawn(Args&&... args) {
    core_.enter();
    return spawn_inside(std::forward<Args>(args)...);
  }
  /// As coir::spawn if there is room at once, else empty; then the arguments are left as they were. Never
  /// suspends.
  template <class... Args>
  auto try_spawn(Args&&... args) {
    using handle = decltype(spawn_inside(std::forward<Args>(args)...));
    if (!core_.try_enter()) return std::optional<handle>();
    return std::optional<handle>(spawn_inside(std::forward<Args>(args)...));
  }

  /// As coir::map, with this pool's room in place of a limit: each item in work takes room for one fiber.
  /// Lifetime: the pool outlives what is returned.
  template <std::ranges::input_range Range, class F>
  auto map(Range&& range, F&& f) {
    return detail::make_mapping<Range>(std::forward<Range>(range), std::forward<F>(f), core_, true);
  }
  /// As coir::map_unordered, like map.
  template <std::ranges::input_range Range, class F>
  auto map_unordered(Range&& range, F&& f) {
    return detail::make_mapping<Range>(std::forward<Range>(range), std::forward<F>(f), core_, false);
  }

  /// Waits until no fiber is left in it, and no item of its mappings in work. Suspends. Throws as
  /// group::join.
  void join() { core_.join_all(detail::never_ns); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) {
    return core_.join_all(detail::deadline_after(detail::checked_duration("coir::pool::join_for", d)));
  }
  /// Cancels all fibers of the pool, those that work for its mappings included: the items in work end by
  /// coir::cancelled, the rest go on, but for a mapping whose input was being read, which ends so. The pool
  /// stays usable, who waits for room gets it, and those spawned later are not cancelled. Never suspends.
  void cancel() noexcept { core_.cancel(); }
  /// The same, and waits at most `d` until they have ended, as group::cancel_for.
  template <class Rep, class Period>
  bool cancel_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::pool::cancel_for", d);
    return core_.cancel_until(detail::deadline_after(ns));
  }

  /// From now on at most `n` fibers; more than that go on until they end. Never suspends. Throws
  /// std::invalid_argument if `n` is less than 1.
  void resize(std::ptrdiff_t n) { core_.resize(n); }
  /// How many fibers it has room for at once.
  std::size_t capacity() const noexcept { return core_.limit(); }
  /// How many fibers, and items of mappings in work, it has now.
  std::size_t size() const noexcept { return core_.in_use(); }
  bool empty() const noexcept { return size() == 0; }
  /// For how many more there is room now.
  std::size_t free_slots() const noexcept { return capacity() > size() ? capacity() - size() : 0; }

 private:
  template <class... Args>
  auto spawn_inside(Args&&... args) {
    auto f = [&] {
      try {
        return coir::spawn(std::forward<Args>(args)...);
      } catch (...) {
        core_.leave();
        throw;
      }
    }();
    core_.add_holder(f.base());
    return f;
  }

  detail::pool_core core_;
};

}  // namespace coir

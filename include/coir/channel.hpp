#pragma once

#include <chrono>
#include <optional>
#include <utility>

#include "coir/detail/channel_core.hpp"
#include "coir/detail/time.hpp"

namespace coir {

/// A rendezvous: each push waits for a pop, and hands its item over directly.
///
/// Both sides are served in the order of their coming, from fibers of any thread and plain threads. `T` is
/// movable; its move constructor may not wait.
template <class T>
class channel {
 public:
  using value_type = T;

  channel() noexcept : core_(&detail::move_into_slot<T>) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  /// Hands `item` to a pop. Suspends until one takes it. False if the channel is or becomes closed.
  /// Throws cancelled, timed_out or what was raised; the item was not taken then.
  bool push(T item) { return core_.push(&item) == detail::transfer::done; }
  /// Hands `item` over if a pop waits already. Never suspends. An item that was not taken is left as it was.
  bool try_push(T&& item) { return core_.push(&item, detail::at_once_ns) == detail::transfer::done; }
  /// As push, for at most `d`; std::invalid_argument if `d` is negative. An item not taken is left as it was.
  template <class Rep, class Period>
  bool push_for(T&& item, std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::channel::push_for", d);
    return core_.push(&item, detail::deadline_after(ns)) == detail::transfer::done;
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool push_until(T&& item, std::chrono::time_point<Clock, Duration> t) {
    return core_.push(&item, detail::deadline_at(t)) == detail::transfer::done;
  }

  /// Takes an item. Suspends until there is one; empty once the channel is closed. Throws as push.
  std::optional<T> pop() {
    std::optional<T> slot;
    core_.pop(&slot);
    return slot;
  }
  /// Takes an item if a push waits already. Never suspends.
  std::optional<T> try_pop() { return pop_until_ns(detail::at_once_ns); }
  /// As pop, for at most `d`; std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  std::optional<T> pop_for(std::chrono::duration<Rep, Period> d) {
    return pop_until_ns(detail::deadline_after(detail::checked_duration("coir::channel::pop_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  std::optional<T> pop_until(std::chrono::time_point<Clock, Duration> t) {
    return pop_until_ns(detail::deadline_at(t));
  }

  /// Ends the channel: all who wait return, later pushes fail, later pops are empty. Never suspends.
  void close() noexcept { core_.close(); }
  /// Whether it was closed.
  bool closed() const noexcept { return core_.closed(); }

  /// Internal.
  detail::channel_core& core() noexcept { return core_; }

 private:
  std::optional<T> pop_until_ns(std::int64_t deadline_ns) {
    std::optional<T> slot;
    core_.pop(&slot, deadline_ns);
    return slot;
  }

  detail::channel_core core_;
};

}  // namespace coir

#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <limits>
#include <optional>
#include <utility>

#include "coir/detail/channel_core.hpp"
#include "coir/detail/time.hpp"

namespace coir {

namespace detail {

template <class T>
class fifo_store final : public item_store {
 public:
  void put(void* item) override { items_.push_back(std::move(*static_cast<T*>(item))); }
  void take(void* slot) override {
    static_cast<std::optional<T>*>(slot)->emplace(std::move(items_.front()));
    items_.pop_front();
  }
  std::size_t size() const noexcept override { return items_.size(); }

 private:
  std::deque<T> items_;
};

}  // namespace detail

/// A first-in, first-out queue between fibers of any thread and plain threads, bounded or not, closable,
/// joinable.
///
/// Pushers waiting for room and poppers waiting for items are served in the order of their coming. `T` is
/// movable; its move constructor may not wait.
template <class T>
class queue {
 public:
  static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

  /// `capacity`: how many items it holds at most. Throws std::invalid_argument if 0 (that is a channel).
  explicit queue(std::size_t capacity = unbounded) : core_(store_, &move, capacity) {}
  queue(const queue&) = delete;
  queue& operator=(const queue&) = delete;

  /// Puts `item` in. Suspends while the queue is full. False if it is or becomes closed.
  /// Throws cancelled, timed_out or what was raised, std::bad_alloc; the item was not put in then.
  bool push(T item) { return core_.push(&item, detail::never_ns) == detail::transfer::done; }
  /// Puts `item` in if there is room. Never suspends. An item not put in is left as it was.
  bool try_push(T&& item) { return core_.push(&item, detail::at_once_ns) == detail::transfer::done; }
  /// As push, for at most `d`; std::invalid_argument if `d` is negative. An item not put in is left as it
  /// was.
  template <class Rep, class Period>
  bool push_for(T&& item, std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::queue::push_for", d);
    return core_.push(&item, detail::deadline_after(ns)) == detail::transfer::done;
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool push_until(T&& item, std::chrono::time_point<Clock, Duration> t) {
    return core_.push(&item, detail::deadline_at(t)) == detail::transfer::done;
  }

  /// Takes the oldest item. Suspends until there is one; empty once the queue is closed and drained. Throws
  /// as push.
  std::optional<T> pop() { return pop_until_ns(detail::never_ns); }
  /// Takes the oldest item if there is one. Never suspends.
  std::optional<T> try_pop() { return pop_until_ns(detail::at_once_ns); }
  /// As pop, for at most `d`; std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  std::optional<T> pop_for(std::chrono::duration<Rep, Period> d) {
    return pop_until_ns(detail::deadline_after(detail::checked_duration("coir::queue::pop_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  std::optional<T> pop_until(std::chrono::time_point<Clock, Duration> t) {
    return pop_until_ns(detail::deadline_at(t));
  }

  /// Ends the queue: later pushes fail, pops get what is left, then nothing; all who wait return. Never
  /// suspends.
  void close() noexcept { core_.close(); }
  /// Whether it was closed.
  bool closed() const noexcept { return core_.closed(); }
  /// Items inside at this moment.
  std::size_t size() const noexcept { return core_.size(); }
  bool empty() const noexcept { return size() == 0; }

  /// Says that one popped item has been dealt with. Throws std::logic_error if called more often than items
  /// went in.
  void task_done() { core_.task_done(); }
  /// Waits until task_done was called for every item that went in. Suspends. Throws as push.
  void join() { core_.join(detail::never_ns); }
  /// The same for at most `d`; false if that passed first.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) {
    return core_.join(detail::deadline_after(detail::checked_duration("coir::queue::join_for", d)));
  }

 private:
  static void move(void* from, void* to) {
    static_cast<std::optional<T>*>(to)->emplace(std::move(*static_cast<T*>(from)));
  }
  std::optional<T> pop_until_ns(std::int64_t deadline_ns) {
    std::optional<T> slot;
    core_.pop(&slot, deadline_ns);
    return slot;
  }

  detail::fifo_store<T> store_;
  detail::queue_core core_;
};

}  // namespace coir

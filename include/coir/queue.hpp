#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "coir/detail/queue_core.hpp"
#include "coir/detail/time.hpp"

namespace coir {

namespace detail {

enum class end : bool { oldest, newest };

template <class T, end Next>
class deque_store final : public item_store {
 public:
  using container = std::deque<T>;

  void swap(container& other) noexcept { items_.swap(other); }
  void put(void* item) override { items_.push_back(std::move(*static_cast<T*>(item))); }
  void take(void* slot) override {
    if constexpr (Next == end::oldest) {
      static_cast<std::optional<T>*>(slot)->emplace(std::move(items_.front()));
      items_.pop_front();
    } else {
      static_cast<std::optional<T>*>(slot)->emplace(std::move(items_.back()));
      items_.pop_back();
    }
  }
  const T& next() const noexcept {
    if constexpr (Next == end::oldest)
      return items_.front();
    else
      return items_.back();
  }

 private:
  container items_;
};

template <class T>
using fifo_store = deque_store<T, end::oldest>;

// A heap, of whose equal items the oldest is first.
template <class T, class Compare>
class heap_store final : public item_store {
  struct entry {
    T item;
    std::uint64_t number;
    entry(T&& i, std::uint64_t n) noexcept : item(std::move(i)), number(n) {}
  };

 public:
  using container = std::vector<entry>;

  explicit heap_store(Compare less) : less_{std::move(less)} {}

  void swap(container& other) noexcept { items_.swap(other); }
  void put(void* item) override {
    items_.emplace_back(std::move(*static_cast<T*>(item)), pushed_);  // moves it only once there is room
    ++pushed_;
    std::push_heap(items_.begin(), items_.end(), less_);
  }
  void take(void* slot) override {
    std::pop_heap(items_.begin(), items_.end(), less_);
    static_cast<std::optional<T>*>(slot)->emplace(std::move(items_.back().item));
    items_.pop_back();
  }
  const T& next() const noexcept { return items_.front().item; }

 private:
  struct order {
    Compare less;
    bool operator()(const entry& a, const entry& b) const {
      if (less(a.item, b.item)) return true;
      return !less(b.item, a.item) && a.number > b.number;
    }
  };

  container items_;
  std::uint64_t pushed_ = 0;
  order less_;
};

}  // namespace detail

/// What `queue`, `lifo_queue` and `priority_queue` have in common: items between fibers of any thread and
/// plain threads, bounded or not, closable, joinable. They differ in which item is the next.
///
/// Pushers waiting for room and poppers waiting for items are served in the order of their coming. `T` is
/// movable; its move constructor may neither wait nor use the queue.
template <class T, class Store>
class basic_queue {
 public:
  using value_type = T;
  /// The capacity of a queue that is never full.
  static constexpr std::ptrdiff_t unbounded = std::numeric_limits<std::ptrdiff_t>::max();

  basic_queue(const basic_queue&) = delete;
  basic_queue& operator=(const basic_queue&) = delete;

  /// Puts `item` in. Suspends while the queue is full. False if it is or becomes closed.
  /// Throws cancelled, timed_out or what was raised, std::bad_alloc; the item was not put in then.
  bool push(T item) { return push_until_ns(item, detail::never_ns); }
  /// Puts `item` in if there is room. Never suspends. An item not put in is left as it was.
  bool try_push(T&& item) { return push_until_ns(item, detail::at_once_ns); }
  /// As push, for at most `d`; std::invalid_argument if `d` is negative. An item not put in is left as it
  /// was.
  template <class Rep, class Period>
  bool push_for(T&& item, std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::queue::push_for", d);
    return push_until_ns(item, detail::deadline_after(ns));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool push_until(T&& item, std::chrono::time_point<Clock, Duration> t) {
    return push_until_ns(item, detail::deadline_at(t));
  }

  /// Takes the next item. Suspends until there is one; empty once the queue is closed and drained. Throws
  /// as push.
  std::optional<T> pop() { return pop_until_ns(detail::never_ns); }
  /// Takes the next item if there is one. Never suspends.
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
  /// A copy of the next item, which stays; empty if there is none. Never suspends.
  std::optional<T> peek() const requires std::is_copy_constructible_v<T> {
    std::optional<T> copy;
    core_.look([&] { copy.emplace(store_.next()); });
    return copy;
  }

  /// Ends the queue: later pushes fail, pops get what is left, then nothing; all who wait return. Never
  /// suspends.
  void close() noexcept { core_.close(); }
  /// Whether it was closed.
  bool closed() const noexcept { return core_.closed(); }
  /// Throws away the items that are inside at this moment, as if each had been popped and dealt with
  /// (task_done). Returns how many. Pushers that wait get the room. Never suspends.
  std::size_t clear() {
    typename Store::container gone;  // destroyed without the lock
    return core_.clear([&] { store_.swap(gone); });
  }

  /// Items inside at this moment.
  std::size_t size() const noexcept { return core_.size(); }
  bool empty() const noexcept { return size() == 0; }
  /// Whether a push would wait at this moment.
  bool full() const noexcept { return size() >= core_.capacity(); }
  /// How many items it holds at most.
  std::ptrdiff_t capacity() const noexcept { return static_cast<std::ptrdiff_t>(core_.capacity()); }

  /// Says that one popped item has been dealt with. Throws std::logic_error if called more often than items
  /// went in.
  void task_done() { core_.task_done(); }
  /// Waits until task_done was called for every item that went in. Suspends. Throws as push.
  void join() { core_.join(detail::never_ns); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) {
    return core_.join(detail::deadline_after(detail::checked_duration("coir::queue::join_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool join_until(std::chrono::time_point<Clock, Duration> t) {
    return core_.join(detail::deadline_at(t));
  }

  /// Internal.
  detail::queue_core& core() noexcept { return core_; }

 protected:
  template <class... Args>
  explicit basic_queue(std::ptrdiff_t capacity, Args&&... args)
      : store_(std::forward<Args>(args)...), core_(store_, &detail::move_into_slot<T>, capacity) {}
  ~basic_queue() = default;

 private:
  bool push_until_ns(T& item, std::int64_t deadline_ns) {
    return core_.push_directly(store_, &item) || core_.push(&item, deadline_ns) == detail::transfer::done;
  }
  std::optional<T> pop_until_ns(std::int64_t deadline_ns) {
    std::optional<T> slot;
    if (!core_.pop_directly(store_, &slot)) core_.pop(&slot, deadline_ns);
    return slot;
  }

  Store store_;
  detail::queue_core core_;
};

/// First in, first out.
template <class T>
class queue : public basic_queue<T, detail::fifo_store<T>> {
 public:
  /// `capacity`: how many items it holds at most. Throws std::invalid_argument if less than 1
  /// (a channel holds none).
  explicit queue(std::ptrdiff_t capacity = queue::unbounded)
      : basic_queue<T, detail::fifo_store<T>>(capacity) {}
};

/// Last in, first out.
template <class T>
class lifo_queue : public basic_queue<T, detail::deque_store<T, detail::end::newest>> {
 public:
  /// As queue.
  explicit lifo_queue(std::ptrdiff_t capacity = lifo_queue::unbounded)
      : basic_queue<T, detail::deque_store<T, detail::end::newest>>(capacity) {}
};

/// The greatest first, as std::priority_queue; with std::greater<> the smallest. Of equal ones the oldest.
///
/// Items of pushers that wait for room do not count yet. Neither moving a `T` nor `Compare` may throw.
template <class T, class Compare = std::less<T>>
class priority_queue : public basic_queue<T, detail::heap_store<T, Compare>> {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>,
                "coir::priority_queue: moving an item must not throw");

 public:
  /// As queue; `less` is the order.
  explicit priority_queue(std::ptrdiff_t capacity = priority_queue::unbounded, Compare less = Compare())
      : basic_queue<T, detail::heap_store<T, Compare>>(capacity, std::move(less)) {}
};

}  // namespace coir

// What all kinds of queue share, without their types. Internal.
#pragma once

#include <algorithm>
#include <mutex>
#include <utility>

#include "coir/detail/channel_core.hpp"
#include "coir/detail/fiber_base.hpp"

namespace coir::detail {

// Where a queue keeps its items; called with the queue's lock held, so an item's move may not wait.
class item_store {
 public:
  virtual void put(void* item) = 0;   // moves the T in
  virtual void take(void* slot) = 0;  // moves one out into the std::optional<T>

 protected:
  ~item_store() = default;
};

class queue_core : public exchange_core {
 public:
  // Throws std::invalid_argument if `capacity` is less than 1.
  queue_core(item_store& store, move_item move, std::ptrdiff_t capacity);
  transfer push(void* item, std::int64_t deadline_ns);
  transfer pop(void* slot, std::int64_t deadline_ns);
  std::size_t size() const noexcept;
  std::size_t capacity() const noexcept { return capacity_; }
  void task_done();
  bool join(std::int64_t deadline_ns);

  // The same where nobody waits and nothing is to be waited for, inlined. False: ask the above.
  template <class Store>
  bool push_directly(Store& store, void* item) {
    if (__builtin_expect(!undisturbed(), 0)) return false;
    poppers_.lock.lock_in_turns();
    const std::lock_guard held(poppers_.lock, std::adopt_lock);
    if (__builtin_expect(closed_ || !poppers_.empty() || size_ >= capacity_, 0)) return false;
    store.put(item);
    ++size_;
    ++unfinished_;
    return true;
  }
  template <class Store>
  bool pop_directly(Store& store, void* slot) {
    if (__builtin_expect(!undisturbed(), 0)) return false;
    poppers_.lock.lock_in_turns();
    const std::lock_guard held(poppers_.lock, std::adopt_lock);
    if (__builtin_expect(size_ == 0 || !pushers_.empty(), 0)) return false;
    store.take(slot);
    --size_;
    return true;
  }
  // Calls `f()` with the lock held if there is an item.
  template <class F>
  void look(F f) const {
    const std::lock_guard held(poppers_.lock);
    if (size_ != 0) f();
  }
  // Calls `take_all()` with the lock held; what was inside counts as dealt with. Returns how much it was.
  template <class F>
  std::size_t clear(F take_all) noexcept {
    const std::lock_guard held(poppers_.lock);
    take_all();
    const std::size_t gone = std::exchange(size_, 0);
    admit_locked();
    dealt_with_locked(std::min(gone, unfinished_));
    return gone;
  }

 private:
  friend struct select_core;
  // With the lock held: `again` if it would have to wait.
  transfer push_locked(void* item);
  transfer pop_locked(void* slot);
  void admit_locked() noexcept;  // as many of the pushers as there is room for
  void dealt_with_locked(std::size_t n) noexcept;
  transfer try_push(void* item, std::int64_t deadline_ns);
  transfer try_pop(void* slot, std::int64_t deadline_ns);

  std::size_t size_ = 0;
  std::size_t capacity_;
  std::size_t unfinished_ = 0;
  item_store& store_;
  wait_list joiners_;
};

}  // namespace coir::detail

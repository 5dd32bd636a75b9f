#include "coir/detail/queue_core.hpp"

#include <stdexcept>
#include <string>

#include "sync/transfer.hpp"

// I1: poppers wait only while the store is empty, pushers only while it is full. I2: an item for a waiting
// popper goes straight into its slot; the room a pop makes goes straight to the first waiting pusher. So both
// are first come, first served, and a cancelled waiter swallows nothing.

namespace coir::detail {

using guard = sync::list_guard;

queue_core::queue_core(item_store& store, move_item move, std::ptrdiff_t capacity)
    : exchange_core(move), capacity_(static_cast<std::size_t>(capacity)), store_(store) {
  if (capacity < 1)
    throw std::invalid_argument("coir::queue: capacity=" + std::to_string(capacity) +
                                ": expected at least 1 (a channel holds none)");
}

transfer queue_core::push(void* item, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_push(item, deadline_ns); });
}

transfer queue_core::pop(void* slot, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_pop(slot, deadline_ns); });
}

transfer queue_core::push_locked(void* item) {
  if (closed_) return transfer::closed;
  if (wait::queued_waiter* popper = wait::claim_first_locked(poppers_)) {
    sync::hand_over(move_, item, popper->item, *popper);
    popper->wake();
  } else if (size_ < capacity_) {
    store_.put(item);
    ++size_;
  } else {
    return transfer::again;
  }
  ++unfinished_;
  return transfer::done;
}

transfer queue_core::pop_locked(void* slot) {
  if (size_ == 0) return closed_ ? transfer::closed : transfer::again;
  store_.take(slot);
  --size_;
  admit_locked();
  return transfer::done;
}

void queue_core::admit_locked() noexcept {
  while (size_ < capacity_) {
    wait::queued_waiter* pusher = wait::claim_first_locked(pushers_);
    if (pusher == nullptr) return;
    try {
      store_.put(pusher->item);
      ++size_;
      ++unfinished_;
    } catch (...) {
      pusher->retry = true;  // it is told when it tries again; the next has the room
    }
    pusher->wake();
  }
}

void queue_core::dealt_with_locked(std::size_t n) noexcept {
  unfinished_ -= n;
  if (unfinished_ == 0) wait::wake_all_locked(joiners_);
}

transfer queue_core::try_push(void* item, std::int64_t deadline_ns) {
  return sync::attempt(poppers_, pushers_, "queue push", item, deadline_ns,
                       [&] { return push_locked(item); });
}

transfer queue_core::try_pop(void* slot, std::int64_t deadline_ns) {
  return sync::attempt(poppers_, poppers_, "queue pop", slot, deadline_ns, [&] { return pop_locked(slot); });
}

std::size_t queue_core::size() const noexcept {
  const guard g(poppers_);
  return size_;
}

void queue_core::task_done() {
  const guard g(poppers_);
  if (unfinished_ == 0)
    throw std::logic_error("coir::queue::task_done: called more often than there were items");
  dealt_with_locked(1);
}

bool queue_core::join(std::int64_t deadline_ns) {
  return sync::attempt(poppers_, joiners_, "queue join", nullptr, deadline_ns,
                       [&] { return unfinished_ == 0 ? transfer::done : transfer::again; }) == transfer::done;
}

}  // namespace coir::detail

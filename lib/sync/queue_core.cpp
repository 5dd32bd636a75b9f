#include <stdexcept>
#include <string>

#include "coir/detail/channel_core.hpp"
#include "sync/transfer.hpp"

// I1: poppers wait only while the store is empty, pushers only while it is full.
// I2: an item for a waiting popper goes straight into its slot; the room a pop makes goes straight to the
// first
//     waiting pusher. So both are first come, first served, and a cancelled waiter swallows nothing.

namespace coir::detail {

using guard = sync::list_guard;
using sync::close_all_locked;
using sync::mode_for;

queue_core::queue_core(item_store& store, move_item move, std::size_t capacity)
    : store_(store), move_(move), capacity_(capacity) {
  if (capacity == 0)
    throw std::invalid_argument("coir::queue: capacity=0: expected at least 1 (a channel holds none)");
}

transfer queue_core::push(void* item, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_push(item, deadline_ns); });
}

transfer queue_core::pop(void* slot, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_pop(slot, deadline_ns); });
}

transfer queue_core::try_push(void* item, std::int64_t deadline_ns) {
  const wait::mode m = mode_for(deadline_ns);
  wait::queued_waiter w(*sched::scheduler::existing());
  {
    const guard g(poppers_);
    if (closed_) return transfer::closed;
    if (wait::queued_waiter* popper = wait::claim_first_locked(poppers_)) {
      sync::hand_over(move_, item, popper->item, *popper);
      ++unfinished_;
      popper->wake();
      return transfer::done;
    }
    if (store_.size() < capacity_) {
      store_.put(item);
      ++unfinished_;
      return transfer::done;
    }
    if (deadline_ns == at_once_ns) return transfer::timed_out;
    w.item = item;
    wait::enqueue_locked(pushers_, w);
  }
  return sync::park_in(pushers_, poppers_, w, "queue push", deadline_ns, m);
}

transfer queue_core::try_pop(void* slot, std::int64_t deadline_ns) {
  const wait::mode m = mode_for(deadline_ns);
  wait::queued_waiter w(*sched::scheduler::existing());
  {
    const guard g(poppers_);
    if (store_.size() > 0) {
      store_.take(slot);
      if (wait::queued_waiter* pusher = wait::claim_first_locked(pushers_)) {
        try {
          store_.put(pusher->item);
          ++unfinished_;
        } catch (...) {
          pusher->retry = true;  // this pop has its item; the pusher is told of its own when it tries again
        }
        pusher->wake();
      }
      return transfer::done;
    }
    if (closed_) return transfer::closed;
    if (deadline_ns == at_once_ns) return transfer::timed_out;
    w.item = slot;
    wait::enqueue_locked(poppers_, w);
  }
  return sync::park_in(poppers_, poppers_, w, "queue pop", deadline_ns, m);
}

void queue_core::close() noexcept {
  const guard g(poppers_);
  closed_ = true;
  close_all_locked(poppers_);
  close_all_locked(pushers_);
}

bool queue_core::closed() const noexcept {
  const guard g(poppers_);
  return closed_;
}

std::size_t queue_core::size() const noexcept {
  const guard g(poppers_);
  return store_.size();
}

void queue_core::task_done() {
  const guard g(poppers_);
  if (unfinished_ == 0)
    throw std::logic_error("coir::queue::task_done: called more often than there were items");
  if (--unfinished_ == 0) wait::wake_all_locked(joiners_);
}

bool queue_core::join(std::int64_t deadline_ns) {
  const wait::mode m = mode_for(deadline_ns);
  wait::queued_waiter w(*sched::scheduler::existing());
  {
    const guard g(poppers_);
    if (unfinished_ == 0) return true;
    wait::enqueue_locked(joiners_, w);
  }
  return sync::park_in(joiners_, poppers_, w, "queue join", deadline_ns, m) == transfer::done;
}

}  // namespace coir::detail

#include "coir/detail/channel_core.hpp"

#include "sync/transfer.hpp"

// I1: never both a pusher and a popper wait. I2: an item moves while its owner's waiter is claimed and the
// lock is held, so a cancelled waiter neither loses an item nor takes one.

namespace coir::detail {

using guard = sync::list_guard;

transfer channel_core::push(void* item, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_push(item, deadline_ns); });
}

transfer channel_core::pop(void* slot, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_pop(slot, deadline_ns); });
}

transfer channel_core::try_push(void* item, std::int64_t deadline_ns) {
  const wait::mode m = sync::mode_for(deadline_ns);
  wait::queued_waiter w(*sched::scheduler::existing());
  {
    const guard g(pushers_);
    if (closed_) return transfer::closed;
    if (wait::queued_waiter* popper = wait::claim_first_locked(poppers_)) {
      sync::hand_over(move_, item, popper->item, *popper);
      popper->wake();
      return transfer::done;
    }
    if (deadline_ns == at_once_ns) return transfer::timed_out;
    w.item = item;
    wait::enqueue_locked(pushers_, w);
  }
  return sync::park_in(pushers_, pushers_, w, "channel push", deadline_ns, m);
}

transfer channel_core::try_pop(void* slot, std::int64_t deadline_ns) {
  const wait::mode m = sync::mode_for(deadline_ns);
  wait::queued_waiter w(*sched::scheduler::existing());
  {
    const guard g(pushers_);
    if (wait::queued_waiter* pusher = wait::claim_first_locked(pushers_)) {
      sync::hand_over(move_, pusher->item, slot, *pusher);
      pusher->wake();
      return transfer::done;
    }
    if (closed_) return transfer::closed;
    if (deadline_ns == at_once_ns) return transfer::timed_out;
    w.item = slot;
    wait::enqueue_locked(poppers_, w);
  }
  return sync::park_in(poppers_, pushers_, w, "channel pop", deadline_ns, m);
}

// In the frame of a wait that did not have to be: how it went.
namespace {
switch_request at_once(wait_frame& frame, transfer t) noexcept {
  ::new (frame.bytes) transfer(t);
  return {nullptr, nullptr};
}
}  // namespace

switch_request channel_core::begin_push(wait_frame& frame, void* item) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_wait(s);
  wait::queued_waiter* w;
  {
    const guard g(pushers_);
    if (__builtin_expect(closed_, 0)) return at_once(frame, transfer::closed);
    if (wait::queued_waiter* popper = wait::claim_first_locked(poppers_)) {
      sync::hand_over(move_, item, popper->item, *popper);
      popper->wake();
      return at_once(frame, transfer::done);
    }
    w = ::new (frame.bytes) wait::queued_waiter(s);
    w->item = item;
    wait::enqueue_locked(pushers_, *w);
  }
  return wait::suspend_in(*w, s, "channel push", m);
}

switch_request channel_core::begin_pop(wait_frame& frame, void* slot) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_wait(s);
  wait::queued_waiter* w;
  {
    const guard g(pushers_);
    if (wait::queued_waiter* pusher = wait::claim_first_locked(pushers_)) {
      sync::hand_over(move_, pusher->item, slot, *pusher);
      pusher->wake();
      return at_once(frame, transfer::done);
    }
    if (__builtin_expect(closed_, 0)) return at_once(frame, transfer::closed);
    w = ::new (frame.bytes) wait::queued_waiter(s);
    w->item = slot;
    wait::enqueue_locked(poppers_, *w);
  }
  return wait::suspend_in(*w, s, "channel pop", m);
}

transfer channel_core::finish(wait_frame& frame, wait_list& list, const switch_request& r) {
  if (r.self == nullptr) return *std::launder(reinterpret_cast<transfer*>(frame.bytes));
  wait::queued_waiter& w = wait::waiter_in(frame);
  const wait::outcome o = wait::resumed(w);
  {
    const guard g(pushers_);
    wait::dequeue_locked(list, w);
  }
  wait::end_wait(*w.fiber->home, o);
  return sync::how_it_ended(w);
}

void channel_core::close() noexcept {
  const guard g(pushers_);
  closed_ = true;
  sync::close_all_locked(pushers_);
  sync::close_all_locked(poppers_);
}

bool channel_core::closed() const noexcept {
  const guard g(pushers_);
  return closed_;
}

}  // namespace coir::detail

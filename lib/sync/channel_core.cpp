#include "sync/channel_core.hpp"
#include "wait/landing.hpp"

// I1: never do both a pusher and a popper wait, but for those of one select. I2: an item moves while its
// owner's waiter is claimed and the lock is held, so a cancelled waiter neither loses an item nor takes one.

namespace coir::detail {

using guard = sync::list_guard;

void exchange_core::close() noexcept {
  const guard g(poppers_);
  closed_ = true;
  sync::close_all_locked(poppers_);
  sync::close_all_locked(pushers_);
}

bool exchange_core::closed() const noexcept {
  const guard g(poppers_);
  return closed_;
}

transfer channel_core::push(void* item, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_push(item, deadline_ns); });
}

transfer channel_core::pop(void* slot, std::int64_t deadline_ns) {
  return sync::repeat([&] { return try_pop(slot, deadline_ns); });
}

transfer channel_core::try_push(void* item, std::int64_t deadline_ns) {
  return sync::attempt(poppers_, pushers_, "channel push", item, deadline_ns,
                       [&] { return push_locked(item); });
}

transfer channel_core::try_pop(void* slot, std::int64_t deadline_ns) {
  return sync::attempt(poppers_, poppers_, "channel pop", slot, deadline_ns,
                       [&] { return pop_locked(slot); });
}

// In the frame of a wait that did not have to be: how it went.
namespace {
switch_request at_once(wait_frame& frame, transfer t) noexcept {
  ::new (frame.bytes) transfer(t);
  return {nullptr, nullptr};
}
}  // namespace

COIR_FIRST_STEP switch_request channel_core::begin_push(wait_frame& frame, void* item) {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = wait::begin_call(s, self);
  wait::queued_waiter* w;
  {
    const guard g(poppers_);
    const transfer t = push_locked(item);
    if (t != transfer::again) return at_once(frame, t);
    w = ::new (frame.bytes) wait::queued_waiter(self);
    w->item = item;
    wait::enqueue_locked(pushers_, *w);
  }
  return wait::suspend_in(*w, s, "channel push", m);
}

COIR_FIRST_STEP switch_request channel_core::begin_pop(wait_frame& frame, void* slot) {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = wait::begin_call(s, self);
  wait::queued_waiter* w;
  {
    const guard g(poppers_);
    const transfer t = pop_locked(slot);
    if (t != transfer::again) return at_once(frame, t);
    w = ::new (frame.bytes) wait::queued_waiter(self);
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
    const guard g(poppers_);
    wait::dequeue_locked(list, w);
  }
  wait::end_wait(*w.fiber->home, o);
  return sync::how_it_ended(w);
}

}  // namespace coir::detail

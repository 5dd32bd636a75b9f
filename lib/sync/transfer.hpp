// What the cores of queue and channel share: waiting in a list guarded by another list's lock, closing,
// modes.
#pragma once

#include "coir/detail/channel_core.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

namespace coir::sync {

struct list_guard {
  detail::spin_lock& lock;
  explicit list_guard(detail::wait_list& l) noexcept : lock(l.lock) { lock.lock(); }
  ~list_guard() { lock.unlock(); }
  list_guard(const list_guard&) = delete;
  list_guard& operator=(const list_guard&) = delete;
};

// How the calling fiber is to wait. To be asked before the lock is taken: it may throw.
inline wait::mode mode_for(std::int64_t deadline_ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  if (deadline_ns != detail::at_once_ns) return wait::begin_call(s);
  s.attend();
  return wait::mode::uninterruptible;
}

// What a notified waiter was notified of.
inline detail::transfer how_it_ended(const wait::queued_waiter& w) noexcept {
  if (__builtin_expect(w.retry, 0)) return detail::transfer::again;
  return w.closed ? detail::transfer::closed : detail::transfer::done;
}

// Moves an item from or to a claimed waiter. If the move throws, the waiter is told to try again.
inline void hand_over(detail::move_item move, void* from, void* to, wait::queued_waiter& peer) {
  try {
    move(from, to);
  } catch (...) {
    peer.retry = true;
    peer.wake();
    throw;
  }
}

// Calls `attempt()` until it ends otherwise than by `again`.
template <class Attempt>
detail::transfer repeat(Attempt attempt) {
  for (;;) {
    const detail::transfer t = attempt();
    if (t != detail::transfer::again) return t;
  }
}

// Parks `w`, which is enqueued in `list`; both are guarded by `guarding`'s lock, which is not held.
inline detail::transfer park_in(detail::wait_list& list, detail::wait_list& guarding, wait::queued_waiter& w,
                                const char* reason, std::int64_t deadline_ns, wait::mode m) {
  const wait::outcome o = wait::park_until(w, reason, deadline_ns, m);
  {
    const list_guard g(guarding);
    wait::dequeue_locked(list, w);
  }
  wait::end_wait(*w.fiber->home, o);
  if (o == wait::outcome::timed_out) return detail::transfer::timed_out;
  return how_it_ended(w);
}

// One push or pop: `now()` with `guarding`'s lock held, or else, if that says `again`, a wait in `list`.
template <class Now>
detail::transfer attempt(detail::wait_list& guarding, detail::wait_list& list, const char* reason, void* item,
                         std::int64_t deadline_ns, Now now) {
  const wait::mode m = mode_for(deadline_ns);
  detail::wait_frame frame;
  wait::queued_waiter* w;
  {
    const list_guard g(guarding);
    const detail::transfer t = now();
    if (t != detail::transfer::again) return t;
    if (deadline_ns == detail::at_once_ns) return detail::transfer::timed_out;
    w = ::new (frame.bytes) wait::queued_waiter(*sched::scheduler::existing());
    w->item = item;
    wait::enqueue_locked(list, *w);
  }
  return park_in(list, guarding, *w, reason, deadline_ns, m);
}

// Wakes all waiters with the news that what they wait for was closed.
inline void close_all_locked(detail::wait_list& list) noexcept {
  while (wait::queued_waiter* w = wait::claim_first_locked(list)) {
    w->closed = true;
    w->wake();
  }
}

}  // namespace coir::sync

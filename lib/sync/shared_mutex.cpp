#include "coir/shared_mutex.hpp"

#include "sync/holder.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

// I1: while somebody waits, the first who waits could not have the lock; who comes now waits behind. So
// whenever the lock or the front of the line changes, also by a waiter that gives up, serve_locked runs.

namespace coir {

void shared_mutex::serve_locked(const detail::wait_node* beginner) noexcept {
  while (detail::wait_node* n = waiters_.head) {
    auto& w = *static_cast<wait::queued_waiter*>(n);
    const use u = w.item == this ? reading : writing;
    if (!free_for_locked(u)) return;
    wait::dequeue_locked(waiters_, w);
    if (!w.claim(wait::outcome::notified)) continue;  // gave up
    take_locked(u, reinterpret_cast<std::uintptr_t>(w.fiber));
    if (&w != beginner) w.wake();
  }
}

void shared_mutex::check_release_locked(use u) {
  const std::uintptr_t writer = held_ == writing ? writer_ | detail::by_record : detail::nobody;
  if (u == writing && sync::is_caller(writer)) return;
  waiters_.lock.unlock();
  sync::refuse_unlock(u == writing ? "coir::shared_mutex::unlock" : "coir::shared_mutex::unlock_shared",
                      writer);
}

bool shared_mutex::lock_until(std::int64_t deadline_ns, use u) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_call(s);
  wait::queued_waiter w(s);
  w.item = u == reading ? this : nullptr;
  waiters_.lock.lock();
  wait::enqueue_locked(waiters_, w);
  serve_locked(&w);  // it may have become free since it was tried
  const bool at_once = !w.queued;
  waiters_.lock.unlock();
  if (at_once) return true;
  const wait::outcome o = wait::park_until(w, "shared_mutex", deadline_ns, m);
  waiters_.lock.lock();
  wait::dequeue_locked(waiters_, w);
  if (o != wait::outcome::notified) serve_locked();
  waiters_.lock.unlock();
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

}  // namespace coir

#include "coir/condition_variable.hpp"

#include "sync/mutex_inside.hpp"
#include "wait/interrupt.hpp"
#include "wait/landing.hpp"
#include "wait/waiter.hpp"

namespace coir {

bool condition_variable::wait_until_ns(std::unique_lock<mutex>& lock, std::int64_t deadline_ns) {
  mutex& inner = *lock.mutex();
  const std::uintptr_t holder = inner.expect_caller("coir::condition_variable::wait");
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = wait::begin_wait(s, self);
  wait::queued_waiter w(self);
  waiters_.lock.lock();
  wait::enqueue_locked(waiters_, w);
  waiters_.lock.unlock();
  inner.unlock_again(holder);
  const wait::outcome o = wait::park_queued(waiters_, w, "condition_variable", deadline_ns, m);
  inner.lock_again(holder);
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

COIR_FIRST_STEP detail::switch_request condition_variable::begin_wait(detail::wait_frame& frame,
                                                                      mutex& held) {
  const std::uintptr_t holder = held.expect_caller("coir::condition_variable::wait");
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = wait::begin_wait(s, self);
  auto* w = ::new (frame.bytes) wait::queued_waiter(self);
  w->item = reinterpret_cast<void*>(holder);
  waiters_.lock.lock();
  wait::enqueue_locked(waiters_, *w);
  waiters_.lock.unlock();
  held.unlock_again(holder);
  return wait::suspend_in(*w, s, "condition_variable", m);
}

void condition_variable::finish_wait(detail::wait_frame& frame, mutex& held) {
  wait::queued_waiter& w = wait::waiter_in(frame);
  const wait::outcome o = wait::finish_queued(waiters_, w);
  held.lock_again(reinterpret_cast<std::uintptr_t>(w.item));
  wait::end_wait(*w.fiber->home, o);
}

void condition_variable::notify_one() noexcept {
  waiters_.lock.lock();
  wait::queued_waiter* w = wait::claim_first_locked(waiters_);
  waiters_.lock.unlock();
  if (w != nullptr) w->wake();
}

void condition_variable::notify_all() noexcept {
  waiters_.lock.lock();
  wait::wake_all_locked(waiters_);
  waiters_.lock.unlock();
}

}  // namespace coir

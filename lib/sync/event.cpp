#include "coir/event.hpp"

#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

namespace coir {

void event::set() noexcept {
  waiters_.lock.lock();
  set_.store(true, std::memory_order_release);  // pairs with is_set
  wait::wake_all_locked(waiters_);
  waiters_.lock.unlock();
}

void event::reset() noexcept {
  waiters_.lock.lock();
  set_.store(false, std::memory_order_relaxed);
  waiters_.lock.unlock();
}

bool event::wait_until_ns(std::int64_t deadline_ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_call(s);
  // With other threads the lock is taken even so: `set` may still be inside, and the caller may destroy the
  // event.
  if (detail::single_threaded() && is_set()) return true;
  wait::queued_waiter w(s);
  waiters_.lock.lock();
  if (set_.load(std::memory_order_relaxed)) {
    waiters_.lock.unlock();
    return true;
  }
  wait::enqueue_locked(waiters_, w);
  waiters_.lock.unlock();
  const wait::outcome o = wait::park_queued(waiters_, w, "event", deadline_ns, m);
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

}  // namespace coir

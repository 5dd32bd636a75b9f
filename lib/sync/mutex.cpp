#include "coir/mutex.hpp"

#include <system_error>

#include "sync/holder.hpp"
#include "sync/mutex_inside.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

// I1: `state_` gets `wanted` and a waiter enters `waiters_` under its lock, and `leave` holds it too, so an
// unlock that finds `wanted` finds the waiter.
// I2: `leave` hands the lock over: state_ never shows `nobody` in between, so nobody overtakes.
// I3: after state_ shows `nobody` unlock touches nothing: who takes the lock then may destroy it.

namespace coir {

void mutex::lock_slow() {
  wait_for_lock(detail::never_ns, true);
}
bool mutex::lock_until(std::int64_t deadline_ns) {
  return wait_for_lock(deadline_ns, true);
}

bool mutex::wait_for_lock(std::int64_t deadline_ns, bool interruptible) {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = interruptible ? wait::begin_call(s, self) : wait::mode::uninterruptible;
  wait::queued_waiter w(self);
  waiters_.lock.lock();
  std::uintptr_t seen = state_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uintptr_t next = seen == detail::nobody ? detail::held_by_caller() : seen | detail::wanted;
    // acquire: pairs with unlock, for the case that it became free
    if ((seen & detail::wanted) != 0 || state_.compare_exchange_weak(seen, next, std::memory_order_acquire))
      break;
  }
  if (seen == detail::nobody) {
    waiters_.lock.unlock();
    return true;
  }
  wait::enqueue_locked(waiters_, w);
  waiters_.lock.unlock();
  const wait::outcome o = wait::park_queued(waiters_, w, "mutex", deadline_ns, m);
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

void mutex::leave(std::uintptr_t holder) noexcept {
  for (;;) {
    waiters_.lock.lock();
    wait::queued_waiter* w = wait::claim_first_locked(waiters_);
    // Who is handed the lock is ordered by claim.
    std::uintptr_t next = holder;
    if (w != nullptr) next = reinterpret_cast<std::uintptr_t>(w->fiber) | detail::by_record;
    if (w != nullptr && !waiters_.empty()) next |= detail::wanted;
    state_.store(next, std::memory_order_relaxed);
    waiters_.lock.unlock();
    if (w != nullptr) return w->wake();
    std::uintptr_t seen = holder;
    // release: pairs with the next try_fast
    if (state_.compare_exchange_strong(seen, detail::nobody, std::memory_order_release)) return;  // I3
  }
}

void mutex::unlock_slow() {
  leave(expect_caller("coir::mutex::unlock"));
}

bool recursive_mutex::first() {
  owner_.store(sched::scheduler::ensure().current(), std::memory_order_relaxed);
  depth_ = 1;
  return true;
}

bool recursive_mutex::again() {
  if (owner_.load(std::memory_order_relaxed) != sched::scheduler::ensure().current()) return false;
  ++depth_;
  return true;
}

void recursive_mutex::lock() {
  if (again()) return;
  inner_.lock();
  first();
}

bool recursive_mutex::try_lock() {
  return again() || (inner_.try_lock() && first());
}

void recursive_mutex::unlock() {
  if (const void* owner = owner_.load(std::memory_order_relaxed);
      owner != sched::scheduler::ensure().current())
    sync::refuse_unlock("coir::recursive_mutex::unlock",
                        owner != nullptr ? reinterpret_cast<std::uintptr_t>(owner) | detail::by_record : 0);
  if (--depth_ != 0) return;
  owner_.store(nullptr, std::memory_order_relaxed);
  inner_.unlock_again(inner_.expect_caller("coir::recursive_mutex::unlock"));
}

}  // namespace coir

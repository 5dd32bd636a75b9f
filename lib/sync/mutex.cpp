#include "coir/mutex.hpp"

#include <system_error>

#include "sync/owner.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

// I1: `state_` gets `wanted` and a waiter enters `waiters_` under its lock, and `unlock_slow` holds it
// too, so an unlock that finds `wanted` finds the waiter.
// I2: unlock_slow hands the lock over: state_ never shows `open` in between, so nobody overtakes.
// I3: after state_ shows `open` unlock touches nothing: who takes the lock then may destroy it.

namespace coir {

void mutex::lock_slow() {
  wait_for_lock(detail::never_ns, true);
}
bool mutex::lock_until(std::int64_t deadline_ns) {
  return wait_for_lock(deadline_ns, true);
}
void mutex::lock_uninterruptible() noexcept {
  if (!try_fast()) wait_for_lock(detail::never_ns, false);
}

bool mutex::wait_for_lock(std::int64_t deadline_ns, bool interruptible) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = interruptible ? wait::begin_wait(s) : wait::mode::uninterruptible;
  wait::queued_waiter w;
  waiters_.lock.lock();
  std::uintptr_t seen = state_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uintptr_t next = seen == open ? detail::owner_mark() : seen | wanted;
    // acquire: pairs with unlock, for the case that it became free
    if ((seen & wanted) != 0 || state_.compare_exchange_weak(seen, next, std::memory_order_acquire)) break;
  }
  if (seen == open) {
    waiters_.lock.unlock();
    return true;
  }
  wait::enqueue_locked(waiters_, w);
  waiters_.lock.unlock();
  const wait::outcome o = wait::park_queued(waiters_, w, "mutex", deadline_ns, m);
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

void mutex::unlock_slow() {
  const std::uintptr_t owner = this->owner();
  sync::expect_caller("coir::mutex::unlock", owner);
  for (;;) {
    waiters_.lock.lock();
    wait::queued_waiter* w = wait::claim_first_locked(waiters_);
    // Who is handed the lock is ordered by claim.
    const std::uintptr_t next = w != nullptr ? reinterpret_cast<std::uintptr_t>(w->fiber) : owner;
    state_.store(w != nullptr && !waiters_.empty() ? next | wanted : next, std::memory_order_relaxed);
    waiters_.lock.unlock();
    if (w != nullptr) return w->wake();
    std::uintptr_t seen = owner;
    // release: pairs with the next try_fast
    if (state_.compare_exchange_strong(seen, open, std::memory_order_release)) return;  // I3
  }
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
    sync::refuse_unlock("coir::recursive_mutex::unlock", reinterpret_cast<std::uintptr_t>(owner));
  if (--depth_ != 0) return;
  owner_.store(nullptr, std::memory_order_relaxed);
  inner_.unlock();
}

}  // namespace coir

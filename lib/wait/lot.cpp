#include "wait/lot.hpp"

#include <pthread.h>

#include "wait/interrupt.hpp"

namespace coir::wait {
namespace {

constexpr std::size_t bucket_count = 256;

struct alignas(64) padded_list : detail::wait_list {};
padded_list buckets[bucket_count];

}  // namespace

std::atomic<std::uint32_t> lot::parked_{0};
std::atomic<std::uintptr_t> lot::late_[most_late];

void lot::wake_later(const void* key) noexcept {
  const auto once = reinterpret_cast<std::uintptr_t>(key), again = once | more_than_once;
  for (std::atomic<std::uintptr_t>& place : late_) {
    std::uintptr_t seen = 0;
    if (place.compare_exchange_strong(seen, once, std::memory_order_acq_rel)) {
      busy::put_off.fetch_add(1, std::memory_order_release);
      return;
    }
    if (seen == again ||
        (seen == once && place.compare_exchange_strong(seen, again, std::memory_order_acq_rel)))
      return;
  }
}

void lot::wake_late_on_plain_thread() noexcept {
  if (has_late() && !busy::anything() && sched::scheduler::existing() == nullptr) wake_late();
}

void lot::wake_late() noexcept {
  if (!has_late()) return;
  for (std::atomic<std::uintptr_t>& place : late_) {
    const std::uintptr_t late = place.exchange(0, std::memory_order_acq_rel);
    if (late == 0) continue;
    busy::put_off.fetch_sub(1, std::memory_order_relaxed);
    wake(reinterpret_cast<const void*>(late & ~more_than_once), (late & more_than_once) != 0 ? all : 1);
  }
}

detail::wait_list& lot::bucket(const void* key) noexcept {
  // Fibonacci hashing (Knuth, vol. 3, 6.4); locks lie at multiples of 4.
  const std::uint64_t mixed = (reinterpret_cast<std::uintptr_t>(key) >> 2) * 0x9e3779b97f4a7c15;
  return buckets[mixed >> 56];
}

void lot::enter(const void* key, lot_waiter& w) noexcept {
  detail::wait_list& b = bucket(key);
  w.key = key;
  b.lock.lock();
  enqueue_locked(b, w);
  b.lock.unlock();
  parked_.fetch_add(1, std::memory_order_seq_cst);  // the full barrier of the protocol
}

void lot::remove_locked(detail::wait_list& b, lot_waiter& w) noexcept {
  if (w.queued) dequeue_locked(b, w);
}

bool lot::leave(lot_waiter& w) noexcept {
  detail::wait_list& b = bucket(w.key);
  b.lock.lock();
  const bool here = w.queued;
  remove_locked(b, w);
  b.lock.unlock();
  if (here) parked_.fetch_sub(1, std::memory_order_relaxed);
  return here;
}

lot_waiter* lot::claim_first_locked(detail::wait_list& b, const void* key) noexcept {
  for (detail::wait_node* n = b.head; n != nullptr;) {
    auto* w = static_cast<lot_waiter*>(static_cast<queued_waiter*>(n));
    n = n->next;
    if (w->key != key || !w->claim(outcome::notified)) continue;
    remove_locked(b, *w);
    return w;
  }
  return nullptr;
}

outcome lot::wait(lot_waiter& w, const char* reason, base::nanoseconds deadline, mode m) noexcept {
  w.may_be_left = true;
  const bool left = __builtin_expect(about_to_jump(*w.fiber), 0) && w.claim(outcome::interrupted);
  const outcome o = left ? outcome::interrupted : park_until(w, reason, deadline, m);
  // Also when notified: who woke it may still hold the lock, and is not to find the waiter gone.
  detail::wait_list& b = bucket(w.key);
  b.lock.lock();
  remove_locked(b, w);
  b.lock.unlock();
  parked_.fetch_sub(1, std::memory_order_relaxed);
  return o;
}

unsigned lot::wake_locked(detail::wait_list& b, const void* key, unsigned most) noexcept {
  unsigned woken = 0;
  for (detail::wait_node* n = b.head; n != nullptr && woken < most;) {
    auto* w = static_cast<lot_waiter*>(static_cast<queued_waiter*>(n));
    n = n->next;
    if (w->key != key || !w->claim(outcome::notified)) continue;
    remove_locked(b, *w);
    w->wake();
    ++woken;
  }
  return woken;
}

unsigned lot::wake(const void* key, unsigned most) noexcept {
  const busy during;
  detail::wait_list& b = bucket(key);
  b.lock.lock();
  const unsigned woken = wake_locked(b, key, most);
  b.lock.unlock();
  return woken;
}

void lot::forget_in_child() noexcept {
  for (padded_list& b : buckets) {
    b.head = b.tail = nullptr;
    b.lock.unlock();  // another thread may have held it
  }
  parked_.store(0, std::memory_order_relaxed);
}

namespace {
const bool lots_told_at_fork = ::pthread_atfork(nullptr, nullptr, lot::forget_in_child) == 0;
}

}  // namespace coir::wait

#include "coir/semaphore.hpp"

#include <stdexcept>
#include <string>

#include "wait/interrupt.hpp"
#include "wait/landing.hpp"
#include "wait/waiter.hpp"

namespace coir {

semaphore::semaphore(std::ptrdiff_t permits, std::ptrdiff_t most) : permits_(permits), most_(most) {
  if (permits < 0)
    throw std::invalid_argument("coir::semaphore: permits=" + std::to_string(permits) +
                                ": expected zero or more");
  if (permits > most)
    throw std::invalid_argument("coir::semaphore: most=" + std::to_string(most) +
                                ": expected at least permits=" + std::to_string(permits));
}

bool semaphore::try_acquire() noexcept {
  waiters_.lock.lock();
  const bool got = permits_ > 0;
  if (got) --permits_;
  waiters_.lock.unlock();
  return got;
}

bool semaphore::acquire_until(std::int64_t deadline_ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = wait::begin_call(s, self);
  wait::queued_waiter w(self);
  waiters_.lock.lock();
  if (permits_ > 0) {
    --permits_;
    waiters_.lock.unlock();
    return true;
  }
  wait::enqueue_locked(waiters_, w);
  waiters_.lock.unlock();
  const wait::outcome o = wait::park_queued(waiters_, w, "semaphore", deadline_ns, m);
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

COIR_FIRST_STEP detail::switch_request semaphore::begin_acquire(detail::wait_frame& frame) {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& self = *s.current();
  const wait::mode m = wait::begin_call(s, self);
  waiters_.lock.lock();
  if (permits_ > 0) {
    --permits_;
    waiters_.lock.unlock();
    return {nullptr, nullptr};
  }
  auto* w = ::new (frame.bytes) wait::queued_waiter(self);
  wait::enqueue_locked(waiters_, *w);
  waiters_.lock.unlock();
  return wait::suspend_in(*w, s, "semaphore", m);
}

void semaphore::finish_acquire(detail::wait_frame& frame) {
  wait::queued_waiter& w = wait::waiter_in(frame);
  wait::end_wait(*w.fiber->home, wait::finish_queued(waiters_, w));
}

namespace {
[[noreturn, gnu::noinline]] void refuse_release(std::ptrdiff_t n, std::ptrdiff_t most) {
  const std::string what = "coir::semaphore::release: n=" + std::to_string(n) + ": ";
  if (n < 0) throw std::invalid_argument(what + "expected zero or more");
  throw std::logic_error(what + "there would be more than most=" + std::to_string(most));
}
}  // namespace

void semaphore::release(std::ptrdiff_t n) {
  waiters_.lock.lock();
  // As one comparison: a negative one is a huge one.
  if (__builtin_expect(static_cast<std::size_t>(n) > static_cast<std::size_t>(most_ - permits_), 0)) {
    waiters_.lock.unlock();
    refuse_release(n, most_);
  }
  for (; n > 0; --n) {
    wait::queued_waiter* w = wait::claim_first_locked(waiters_);
    if (w == nullptr) break;
    w->wake();
  }
  permits_ += n;
  waiters_.lock.unlock();
}

std::ptrdiff_t semaphore::available() const noexcept {
  waiters_.lock.lock();
  const std::ptrdiff_t n = permits_;
  waiters_.lock.unlock();
  return n;
}

}  // namespace coir

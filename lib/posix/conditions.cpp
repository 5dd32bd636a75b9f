// pthread_cond_t for fibers. Fibers wait in the lot, threads in libc; a signal goes to a fiber if one waits.
#include <errno.h>

#include "posix/locks.hpp"
#include "sys/real.hpp"
#include "wait/lot.hpp"

namespace coir::posix {
namespace {

using wait::lot;

constexpr unsigned process_shared = 1, monotonic = 2;  // of __wrefs (bits/thread-shared-types.h, nptl)

}  // namespace

clockid_t clock_of(const pthread_cond_t* c) noexcept {
  return (c->__data.__wrefs & monotonic) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

namespace {
// Who jumps out of a wait for a condition has the mutex again, as by libc's cleanup handler.
void lock_before_jump(pthread_mutex_t* m, sched::fiber& f) noexcept {
  int r;
  do {
    f.interrupts = static_cast<std::uint8_t>(f.interrupts & ~wait::jumping);
    wait::refresh(f);
    r = mutex_lock(m, {});
  } while (r == EINTR);
  f.interrupts = static_cast<std::uint8_t>(f.interrupts | wait::jumping);
  wait::refresh(f);
}
}  // namespace

int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const limit& until) noexcept {
  scheduler& s = *scheduler::existing();
  const bool others = (c->__data.__wrefs & process_shared) != 0;
  recheck again;
  wait::lot_waiter w(s);
  lot::enter(c, w);
  if (const int r = mutex_unlock(m); r != 0) {
    if (!lot::leave(w)) {
      lot::wait(w, "pthread_cond", base::never, wait::mode::uninterruptible);
      if (!cond_signal(c)) sys::real.pthread_cond_signal(c);  // it was for somebody who waits
    }
    return r;
  }
  const base::nanoseconds deadline = until.deadline(s);
  const wait::outcome o =
      lot::wait(w, "pthread_cond", others ? again.next(s, deadline) : deadline, wait::mode::uninterruptible);
  if (__builtin_expect(wait::about_to_jump(*w.fiber), 0)) {
    if (o == wait::outcome::notified && !cond_signal(c)) sys::real.pthread_cond_signal(c);
    lock_before_jump(m, *w.fiber);
    return EINTR;
  }
  const bool over = o != wait::outcome::notified && until.passed();
  const int r = mutex_lock(m, {});
  if (r != 0) return r;
  // Another process's signal is not heard of, and a clock may have been set: then the caller looks for
  // itself, as POSIX allows at any time.
  return over ? ETIMEDOUT : 0;
}

bool cond_signal(pthread_cond_t* c) noexcept {
  return lot::anyone() && lot::wake(c, 1) != 0;
}

void cond_broadcast(pthread_cond_t* c) noexcept {
  if (lot::anyone()) lot::wake(c, lot::all);
}

}  // namespace coir::posix

// Mutexes, condition variables, read-write locks, spin locks and semaphores of libc.
//
// On threads without fibers they are libc's own, and afterwards a fiber elsewhere may be waiting for what
// they gave up.
#include <errno.h>
#include <threads.h>

#include "patch/hook.hpp"
#include "posix/locks.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(threads)
using posix::limit;

namespace {
bool has_clock(clockid_t clock) noexcept {
  return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}
}  // namespace

COIR_HOOK int pthread_mutex_lock(pthread_mutex_t* m) noexcept {
  if (COIR_COOPERATIVE) {
    const auto owner = static_cast<int>(posix::owner_tag(*posix::scheduler::existing()));
    return __builtin_expect(posix::let_go_of != m && posix::lock_quickly(m, owner), 1)
               ? 0
               : posix::mutex_lock(m, {});
  }
  if (__builtin_expect(posix::plain_owner == 0, 0)) posix::note_thread();
  return __builtin_expect(posix::lock_quickly(m, posix::plain_owner), 1) ? 0 : real.pthread_mutex_lock(m);
}
COIR_HOOK int pthread_mutex_trylock(pthread_mutex_t* m) noexcept {
  if (COIR_COOPERATIVE) return posix::tried_in_vain(posix::mutex_trylock(m));
  if (__builtin_expect(posix::plain_owner == 0, 0)) posix::note_thread();
  return posix::lock_quickly(m, posix::plain_owner) ? 0 : real.pthread_mutex_trylock(m);
}
COIR_HOOK int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* t) noexcept {
  if (!COIR_COOPERATIVE) return real.pthread_mutex_clocklock(m, clock, t);
  if (!has_clock(clock)) return EINVAL;
  if (limit::valid(*t)) return posix::mutex_lock(m, limit(clock, *t));
  // A time that is none matters only to who has to wait, and one before the clock's beginning is over.
  const int r = posix::mutex_lock(m, limit(CLOCK_MONOTONIC, {}));
  return r == ETIMEDOUT && t->tv_sec >= 0 ? EINVAL : r;
}
COIR_HOOK int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* t) noexcept {
  return COIR_COOPERATIVE ? pthread_mutex_clocklock(m, CLOCK_REALTIME, t)
                          : real.pthread_mutex_timedlock(m, t);
}
COIR_HOOK int pthread_mutex_unlock(pthread_mutex_t* m) noexcept {
  if (__builtin_expect(posix::unlock_quickly(m), 1)) return 0;
  if (COIR_COOPERATIVE) return posix::mutex_unlock(m);
  const int r = real.pthread_mutex_unlock(m);
  posix::mutex_unlocked(m);
  return r;
}

COIR_HOOK int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
  return COIR_COOPERATIVE ? posix::cond_wait(c, m, {}) : real.pthread_cond_wait(c, m);
}
COIR_HOOK int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock,
                                     const timespec* t) {
  if (!COIR_COOPERATIVE) return real.pthread_cond_clockwait(c, m, clock, t);
  if (!limit::valid(*t) || !has_clock(clock)) return EINVAL;
  return posix::cond_wait(c, m, limit(clock, *t));
}
COIR_HOOK int pthread_cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* t) {
  return COIR_COOPERATIVE ? pthread_cond_clockwait(c, m, posix::clock_of(c), t)
                          : real.pthread_cond_timedwait(c, m, t);
}
COIR_HOOK int pthread_cond_signal(pthread_cond_t* c) noexcept {
  return posix::cond_signal(c) ? 0 : real.pthread_cond_signal(c);
}
COIR_HOOK int pthread_cond_broadcast(pthread_cond_t* c) noexcept {
  posix::cond_broadcast(c);
  return real.pthread_cond_broadcast(c);
}

COIR_HOOK int pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept {
  return COIR_COOPERATIVE ? posix::rwlock_lock(l, false, {}) : real.pthread_rwlock_rdlock(l);
}
COIR_HOOK int pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept {
  return COIR_COOPERATIVE ? posix::rwlock_lock(l, true, {}) : real.pthread_rwlock_wrlock(l);
}
COIR_HOOK int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) noexcept {
  return COIR_COOPERATIVE ? posix::tried_in_vain(posix::rwlock_trylock(l, false))
                          : real.pthread_rwlock_tryrdlock(l);
}
COIR_HOOK int pthread_rwlock_trywrlock(pthread_rwlock_t* l) noexcept {
  return COIR_COOPERATIVE ? posix::tried_in_vain(posix::rwlock_trylock(l, true))
                          : real.pthread_rwlock_trywrlock(l);
}
namespace {
int rwlock_until(pthread_rwlock_t* l, bool write, clockid_t clock, const timespec* t) noexcept {
  return has_clock(clock) && limit::valid(*t) ? posix::rwlock_lock(l, write, limit(clock, *t)) : EINVAL;
}
}  // namespace
COIR_HOOK int pthread_rwlock_timedrdlock(pthread_rwlock_t* l, const timespec* t) noexcept {
  return COIR_COOPERATIVE ? rwlock_until(l, false, CLOCK_REALTIME, t) : real.pthread_rwlock_timedrdlock(l, t);
}
COIR_HOOK int pthread_rwlock_timedwrlock(pthread_rwlock_t* l, const timespec* t) noexcept {
  return COIR_COOPERATIVE ? rwlock_until(l, true, CLOCK_REALTIME, t) : real.pthread_rwlock_timedwrlock(l, t);
}
COIR_HOOK int pthread_rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* t) noexcept {
  return COIR_COOPERATIVE ? rwlock_until(l, false, clock, t) : real.pthread_rwlock_clockrdlock(l, clock, t);
}
COIR_HOOK int pthread_rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* t) noexcept {
  return COIR_COOPERATIVE ? rwlock_until(l, true, clock, t) : real.pthread_rwlock_clockwrlock(l, clock, t);
}
COIR_HOOK int pthread_rwlock_unlock(pthread_rwlock_t* l) noexcept {
  if (COIR_COOPERATIVE) return posix::rwlock_unlock(l);
  const int r = real.pthread_rwlock_unlock(l);
  posix::rwlock_unlocked(l);
  return r;
}

COIR_HOOK int pthread_spin_lock(pthread_spinlock_t* l) noexcept {
  if (__builtin_expect(posix::spin_trylock(l), 1)) return 0;
  if (!COIR_COOPERATIVE) return real.pthread_spin_lock(l);
  posix::spin_wait(l);
  return 0;
}
COIR_HOOK int pthread_spin_trylock(pthread_spinlock_t* l) noexcept {
  if (__builtin_expect(posix::spin_trylock(l), 1)) return 0;
  return COIR_COOPERATIVE ? posix::tried_in_vain(EBUSY) : EBUSY;
}
COIR_HOOK int pthread_spin_unlock(pthread_spinlock_t* l) noexcept {
  posix::spin_unlock(l);
  return 0;
}

COIR_HOOK int sem_wait(sem_t* s) {
  return COIR_COOPERATIVE ? posix::sem_wait(s, {}) : real.sem_wait(s);
}
COIR_HOOK int sem_trywait(sem_t* s) noexcept {
  const int r = real.sem_trywait(s);
  return __builtin_expect(r != 0, 0) && COIR_COOPERATIVE ? posix::tried_in_vain(r) : r;
}
COIR_HOOK int sem_clockwait(sem_t* s, clockid_t clock, const timespec* t) {
  if (!COIR_COOPERATIVE) return real.sem_clockwait(s, clock, t);
  if (has_clock(clock) && limit::valid(*t)) return posix::sem_wait(s, limit(clock, *t));
  errno = EINVAL;
  return -1;
}
COIR_HOOK int sem_timedwait(sem_t* s, const timespec* t) {
  return COIR_COOPERATIVE ? sem_clockwait(s, CLOCK_REALTIME, t) : real.sem_timedwait(s, t);
}
COIR_HOOK int sem_post(sem_t* s) noexcept {
  const int r = real.sem_post(s);
  if (r == 0) posix::sem_posted(s);
  return r;
}

// Once, barriers, joining; C11's names for threads and locks.
#include <errno.h>
#include <threads.h>

#include "patch/hook.hpp"
#include "posix/control.hpp"
#include "posix/locks.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(threads)
using posix::limit;

COIR_HOOK int pthread_once(pthread_once_t* control, void (*initialise)(void)) {
  if (__builtin_expect((__atomic_load_n(control, __ATOMIC_ACQUIRE) & 2) != 0, 1)) return 0;  // libc's "done"
  if (COIR_COOPERATIVE) return posix::once(control, initialise);
  const int r = real.pthread_once(control, initialise);
  posix::once_done(control);
  return r;
}
// The C++ library's, for function-local statics.
COIR_HOOK int __cxa_guard_acquire(long long* guard) {
  return posix::guard_acquire(reinterpret_cast<int*>(guard)) ? 1 : 0;
}
COIR_HOOK void __cxa_guard_release(long long* guard) noexcept {
  posix::guard_release(reinterpret_cast<int*>(guard));
}
COIR_HOOK void __cxa_guard_abort(long long* guard) noexcept {
  posix::guard_abort(reinterpret_cast<int*>(guard));
}
COIR_HOOK int pthread_barrier_wait(pthread_barrier_t* b) noexcept {
  return posix::barrier_wait(b);
}
// Starting a thread waits for nothing; COIR_PATCH_ALWAYS is for new threads too.
COIR_HOOK int pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*run)(void*),
                             void* argument) noexcept {
  posix::thread_start<void*> start = {run, argument};
  posix::wrap_thread(start);
  const int r = real.pthread_create(thread, how, start.run, start.argument);
  if (__builtin_expect(r != 0, 0)) posix::unwrap_thread(start, argument);
  return r;
}
COIR_HOOK int thrd_create(thrd_t* thread, thrd_start_t run, void* argument) {
  posix::thread_start<int> start = {run, argument};
  posix::wrap_thread(start);
  const int r = real.thrd_create(thread, start.run, start.argument);
  if (__builtin_expect(r != thrd_success, 0)) posix::unwrap_thread(start, argument);
  return r;
}
COIR_HOOK int pthread_join(pthread_t thread, void** result) {
  return COIR_COOPERATIVE ? posix::join(thread, result, CLOCK_REALTIME, nullptr)
                          : real.pthread_join(thread, result);
}
COIR_HOOK int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const timespec* t) {
  return COIR_COOPERATIVE ? posix::join(thread, result, clock, t)
                          : real.pthread_clockjoin_np(thread, result, clock, t);
}
COIR_HOOK int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* t) {
  return COIR_COOPERATIVE ? posix::join(thread, result, CLOCK_REALTIME, t)
                          : real.pthread_timedjoin_np(thread, result, t);
}

// glibc's mtx_t and cnd_t are its mutexes and condition variables.
namespace {
pthread_mutex_t* plain(mtx_t* m) noexcept {
  return reinterpret_cast<pthread_mutex_t*>(m);
}
pthread_cond_t* plain(cnd_t* c) noexcept {
  return reinterpret_cast<pthread_cond_t*>(c);
}
int in_c11(int error) noexcept {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}
}  // namespace

COIR_HOOK int mtx_lock(mtx_t* m) {
  return COIR_COOPERATIVE ? in_c11(posix::mutex_lock(plain(m), {})) : real.mtx_lock(m);
}
COIR_HOOK int mtx_trylock(mtx_t* m) {
  return COIR_COOPERATIVE ? in_c11(posix::tried_in_vain(posix::mutex_trylock(plain(m))))
                          : real.mtx_trylock(m);
}
COIR_HOOK int mtx_timedlock(mtx_t* m, const timespec* t) {
  return COIR_COOPERATIVE ? in_c11(pthread_mutex_timedlock(plain(m), t)) : real.mtx_timedlock(m, t);
}
COIR_HOOK int mtx_unlock(mtx_t* m) {
  if (COIR_COOPERATIVE) return in_c11(posix::mutex_unlock(plain(m)));
  const int r = real.mtx_unlock(m);
  posix::mutex_unlocked(plain(m));
  return r;
}
COIR_HOOK int cnd_wait(cnd_t* c, mtx_t* m) {
  return COIR_COOPERATIVE ? in_c11(posix::cond_wait(plain(c), plain(m), {})) : real.cnd_wait(c, m);
}
COIR_HOOK int cnd_timedwait(cnd_t* c, mtx_t* m, const timespec* t) {
  return COIR_COOPERATIVE ? in_c11(pthread_cond_timedwait(plain(c), plain(m), t))
                          : real.cnd_timedwait(c, m, t);
}
COIR_HOOK int cnd_signal(cnd_t* c) {
  return posix::cond_signal(plain(c)) ? thrd_success : real.cnd_signal(c);
}
COIR_HOOK int cnd_broadcast(cnd_t* c) {
  posix::cond_broadcast(plain(c));
  return real.cnd_broadcast(c);
}
COIR_HOOK int thrd_join(thrd_t thread, int* result) {
  if (!COIR_COOPERATIVE) return real.thrd_join(thread, result);
  void* value = nullptr;
  const int r = posix::join(thread, &value, CLOCK_REALTIME, nullptr);
  if (r == 0 && result != nullptr) *result = static_cast<int>(reinterpret_cast<long>(value));
  return in_c11(r);
}
COIR_HOOK void call_once(once_flag* flag, void (*function)(void)) {
  pthread_once(reinterpret_cast<pthread_once_t*>(flag), function);
}

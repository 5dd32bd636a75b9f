// Once, barriers, joining; C11's names for threads and locks; syscall.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <threads.h>

#include "patch/hook.hpp"
#include "posix/control.hpp"
#include "posix/files.hpp"
#include "posix/locks.hpp"
#include "posix/multiplex.hpp"
#include "posix/open.hpp"
#include "posix/sleep.hpp"
#include "posix/sockets.hpp"
#include "sys/raw.hpp"

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

namespace {

template <class T>
T* pointer(long word) noexcept {
  return reinterpret_cast<T*>(word);
}

// The calls that have names of their own, made through syscall(2): as by those names.
bool named(long number, const long (&a)[6], long& result) {
  const int fd = static_cast<int>(a[0]), fourth = static_cast<int>(a[3]);
  const auto size = static_cast<size_t>(a[2]);
  switch (number) {
    case SYS_read:
      result = posix::read(fd, pointer<void>(a[1]), size);
      return true;
    case SYS_write:
      result = posix::write(fd, pointer<const void>(a[1]), size);
      return true;
    case SYS_recvfrom:
      result = posix::recvfrom(fd, pointer<void>(a[1]), size, fourth, pointer<sockaddr>(a[4]),
                               pointer<socklen_t>(a[5]));
      return true;
    case SYS_sendto:
      result = posix::sendto(fd, pointer<const void>(a[1]), size, fourth, pointer<const sockaddr>(a[4]),
                             static_cast<socklen_t>(a[5]));
      return true;
    case SYS_recvmsg:
      result = posix::recvmsg(fd, pointer<msghdr>(a[1]), static_cast<int>(a[2]));
      return true;
    case SYS_sendmsg:
      result = posix::sendmsg(fd, pointer<const msghdr>(a[1]), static_cast<int>(a[2]));
      return true;
    case SYS_connect:
      result = posix::connect(fd, pointer<const sockaddr>(a[1]), static_cast<socklen_t>(a[2]));
      return true;
    case SYS_accept4:
      result = accept4(fd, pointer<sockaddr>(a[1]), pointer<socklen_t>(a[2]), fourth);
      return true;
    case SYS_openat:
      result =
          posix::openat(fd, pointer<const char>(a[1]), static_cast<int>(a[2]), static_cast<mode_t>(a[3]));
      return true;
#ifdef SYS_open
    case SYS_open:
      result = posix::openat(AT_FDCWD, pointer<const char>(a[0]), static_cast<int>(a[1]),
                             static_cast<mode_t>(a[2]));
      return true;
#endif
    case SYS_nanosleep:
      result = posix::nanosleep(pointer<const timespec>(a[0]), pointer<timespec>(a[1]));
      return true;
#ifdef SYS_poll
    case SYS_poll:
      result = poll(pointer<pollfd>(a[0]), static_cast<nfds_t>(a[1]), static_cast<int>(a[2]));
      return true;
#endif
    default:
      return false;
  }
}

}  // namespace

// As libc's does it: takes all six, however many there are. Where there are fewer the last ones are whatever
// lies on the caller's stack, and mean nothing to the call.
COIR_HOOK __attribute__((no_sanitize("address"))) long syscall(long number, ...) noexcept {
  long a[6];
  va_list rest;
  va_start(rest, number);
  for (long& argument : a) argument = va_arg(rest, long);
  va_end(rest);
  long result;
  if (number == SYS_futex) {
    if (!posix::futex(pointer<long>(a[0]), a[1], a[2], a[3], a[5], result))
      result = coir::sys::raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  } else if (COIR_COOPERATIVE_IN(io) && named(number, a, result)) {
    return result;
  } else {
    result = coir::sys::raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

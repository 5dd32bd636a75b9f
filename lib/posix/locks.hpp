// Twins of libc's locks for fibers: they work on libc's own objects, in its own layout, so that plain
// threads, which go on using libc's code, and fibers exclude each other.
//
// The calls are not interrupted by cancellation or timeouts around them: their callers cannot take an error.
// All of these are for threads with fibers; the ones marked (any) are for every thread.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>

#include "posix/patience.hpp"
#include "sys/real.hpp"
#include "wait/lot.hpp"

namespace coir::posix {

// --- mutexes: the result is 0 or an errno, as libc's ---

// This thread's number for the owner of a mutex; 0 until `note_thread`, and in the child of a fork.
extern constinit thread_local int plain_owner __attribute__((tls_model("initial-exec")));
void note_thread() noexcept;

// The mutex that a fiber of this thread gave up for everybody to race for. The thread's fibers stand back
// once before they take it again: nothing else would ever let the others run.
extern constinit thread_local const pthread_mutex_t* let_go_of __attribute__((tls_model("initial-exec")));

// libc's own lock and unlock of a normal mutex that nobody contends for, inlined where that is nearly all
// there is to do. False: not such a one, and nothing was changed.
inline bool lock_quickly(pthread_mutex_t* m, int owner) noexcept {
  if (m->__data.__kind != PTHREAD_MUTEX_TIMED_NP) return false;
  if (detail::single_threaded()) {
    if (m->__data.__lock != 0) return false;
    m->__data.__lock = 1;
  } else {
    int expected = 0;
    if (!__atomic_compare_exchange_n(&m->__data.__lock, &expected, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
      return false;
  }
  m->__data.__owner = owner;
  ++m->__data.__nusers;
  return true;
}
inline bool unlock_quickly(pthread_mutex_t* m) noexcept {
  if (m->__data.__kind != PTHREAD_MUTEX_TIMED_NP) return false;
  if (detail::single_threaded()) {
    if (m->__data.__lock != 1) return false;
    m->__data.__owner = 0;
    --m->__data.__nusers;
    m->__data.__lock = 0;
    return true;
  }
  const int owner = m->__data.__owner;
  m->__data.__owner = 0;
  --m->__data.__nusers;
  int expected = 1;
  if (__atomic_compare_exchange_n(&m->__data.__lock, &expected, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
    return true;
  m->__data.__owner = owner;
  ++m->__data.__nusers;
  return false;
}

int mutex_lock(pthread_mutex_t* m, const limit& until) noexcept;
int mutex_trylock(pthread_mutex_t* m) noexcept;
int mutex_unlock(pthread_mutex_t* m) noexcept;
// (any) After libc unlocked `m`: lets a waiting fiber try.
void mutex_unlocked(pthread_mutex_t* m) noexcept;

// --- condition variables ---
int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const limit& until) noexcept;
// The clock that pthread_cond_timedwait's time is of.
clockid_t clock_of(const pthread_cond_t* c) noexcept;
// (any) Wakes a waiting fiber; false if none waits.
bool cond_signal(pthread_cond_t* c) noexcept;
// (any) Wakes all waiting fibers.
void cond_broadcast(pthread_cond_t* c) noexcept;

// --- read-write locks ---
int rwlock_lock(pthread_rwlock_t* l, bool write, const limit& until) noexcept;
int rwlock_trylock(pthread_rwlock_t* l, bool write) noexcept;
int rwlock_unlock(pthread_rwlock_t* l) noexcept;
// (any) After libc unlocked `l`.
void rwlock_unlocked(pthread_rwlock_t* l) noexcept;

// --- spin locks ---
// (any) As libc's, in its layout, where that can be inlined.
inline bool spin_trylock(pthread_spinlock_t* l) noexcept {
#ifdef __x86_64__
  int free = 1;
  return __atomic_compare_exchange_n(l, &free, 0, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
#else
  return sys::real.pthread_spin_trylock(l) == 0;
#endif
}
void spin_wake(const void* l) noexcept;
inline void spin_unlock(pthread_spinlock_t* l) noexcept {
#ifdef __x86_64__
  __atomic_store_n(l, 1, __ATOMIC_RELEASE);
#else
  sys::real.pthread_spin_unlock(l);
#endif
  if (__builtin_expect(wait::lot::anyone(), 0)) spin_wake(const_cast<int*>(l));
}
// After a try that failed.
void spin_wait(pthread_spinlock_t* l) noexcept;

// --- semaphores: 0, or -1 with errno ---
int sem_wait(sem_t* s, const limit& until) noexcept;
// (any) After a post.
void sem_posted(sem_t* s) noexcept;

// --- all of them ---
// After a try that failed: who tries in a loop means that the holder is to get on.
int tried_in_vain(int result) noexcept;

// --- the rest ---
// Throws what `initialise` throws; then it counts as not run.
int once(pthread_once_t* control, void (*initialise)());
// Of a jump of the current fiber: whose initialisers it leaves may be begun by others.
void leave_initialisers(const __jmp_buf_tag* to) noexcept;
// (any) After libc ran an initialiser.
void once_done(pthread_once_t* control) noexcept;
// (any)
int barrier_wait(pthread_barrier_t* b) noexcept;
// (any) Whether the caller is to make the static of `guard`, and then to call one of the others. Throws an
// std::exception if a thread without fibers needs the static to make it.
bool guard_acquire(int* guard);
void guard_release(int* guard) noexcept;
void guard_abort(int* guard) noexcept;
// Until the thread has ended, or `until` (null: for ever) on `clock`; 0 or an errno, as pthread_clockjoin_np.
int join(pthread_t thread, void** result, clockid_t clock, const timespec* until) noexcept;
// (any) Whether this futex(2) is one that coir makes (arguments as the system call's, without the fifth);
// then it is made, and the kernel's answer is in `result`.
bool futex(long* address, long op, long value, long third, long third_value, long& result) noexcept;

}  // namespace coir::posix

// pthread_rwlock_t, pthread_spinlock_t and sem_t for fibers: libc's own try calls, and the lot in between.
#include <errno.h>

#include "posix/locks.hpp"
#include "posix/signals.hpp"
#include "sys/real.hpp"
#include "wait/lot.hpp"

namespace coir::posix {
namespace {

using wait::lot;

std::atomic_ref<int> writer(pthread_rwlock_t* l) noexcept {
  return std::atomic_ref<int>(l->__data.__cur_writer);
}

std::uint32_t tag_for(const pthread_rwlock_t* l) noexcept {
  scheduler& s = *scheduler::existing();
  return l->__data.__shared != 0 ? shared_owner_tag(s) : owner_tag(s);
}

bool written_by(pthread_rwlock_t* l, std::uint32_t who) noexcept {
  return static_cast<std::uint32_t>(writer(l).load(std::memory_order_relaxed)) == who;
}

// Tries until it does not say `busy`, parking in between. `elsewhere`: other processes change it too.
// `handlers`: those that end it, with EINTR.
template <class Try>
int try_and_park(const void* key, const char* name, const limit& until, bool elsewhere,
                 wait::ending_handlers handlers, Try attempt) noexcept {
  scheduler& s = *scheduler::existing();
  const bool heeds = handlers != wait::ending_handlers::none;
  const auto mode = heeds ? wait::mode::interruptible : wait::mode::uninterruptible;
  recheck again;
  for (;;) {
    int r = EBUSY;
    wait::lot_waiter w(s);
    w.ended_by = handlers;
    w.heeds_handlers_only = heeds;
    const base::nanoseconds deadline = until.deadline(s);
    const auto still = [&] { return (r = attempt()) == EBUSY; };
    const auto o = lot::park(key, w, name, elsewhere ? again.next(s, deadline) : deadline, mode, still);
    if (r != EBUSY) return r;
    if (o == wait::outcome::signalled) return EINTR;
    if (__builtin_expect(wait::about_to_jump(*w.fiber), 0)) {
      if (o == wait::outcome::notified) lot::wake(key, 1);
      return EINTR;
    }
    if (until.passed()) return attempt() == 0 ? 0 : ETIMEDOUT;
  }
}

// The layout of sem_t in glibc since 2.21: the value, how many threads wait, and whether other processes use
// it.
struct semaphore_words {
  unsigned value;
  unsigned waiters;
  int shared;
};

}  // namespace

int rwlock_trylock(pthread_rwlock_t* l, bool write) noexcept {
  if (!write) return sys::real.pthread_rwlock_tryrdlock(l);
  const int r = sys::real.pthread_rwlock_trywrlock(l);
  if (r == 0) writer(l).store(static_cast<int>(tag_for(l)), std::memory_order_relaxed);
  return r;
}

int rwlock_lock(pthread_rwlock_t* l, bool write, const limit& until) noexcept {
  if (written_by(l, tag_for(l))) return EDEADLK;
  if (const int r = rwlock_trylock(l, write); r != EBUSY) return r;
  return try_and_park(l, "pthread_rwlock", until, l->__data.__shared != 0, wait::ending_handlers::none,
                      [&] { return rwlock_trylock(l, write); });
}

int rwlock_unlock(pthread_rwlock_t* l) noexcept {
  scheduler& s = *scheduler::existing();
  // libc tells a writer's unlock from a reader's by the thread's number.
  if (written_by(l, tag_for(l))) writer(l).store(s.thread_id(), std::memory_order_relaxed);
  const int r = sys::real.pthread_rwlock_unlock(l);
  rwlock_unlocked(l);
  return r;
}

void rwlock_unlocked(pthread_rwlock_t* l) noexcept {
  if (lot::anyone()) lot::wake(l, lot::all);
}

void spin_wake(const void* l) noexcept {
  if (in_handler())
    lot::wake_later(l);
  else
    lot::wake(l, 1);
}

void spin_wait(pthread_spinlock_t* l) noexcept {
  scheduler& s = *scheduler::existing();
  recheck again;  // the unlock is no barrier, and another process's is not heard of
  for (;;) {
    // A holder on another thread is about to be through.
    for (int i = 0; i < 100 && !detail::single_threaded(); ++i) {
      detail::pause();
      if (spin_trylock(l)) return;
    }
    wait::lot_waiter w(s);
    bool taken = false;
    lot::park(const_cast<int*>(l), w, "pthread_spin_lock", again.next(s, base::never),
              wait::mode::uninterruptible, [&] { return !(taken = spin_trylock(l)); });
    if (__builtin_expect(wait::about_to_jump(*w.fiber), 0) && !taken) return spin_wake(const_cast<int*>(l));
    if (taken || spin_trylock(l)) return;
  }
}

int tried_in_vain(int result) noexcept {
  if (result != 0) scheduler::existing()->charge();
  return result;
}

int sem_wait(sem_t* s, const limit& until) noexcept {
  const auto attempt = [s] { return sys::real.sem_trywait(s) == 0 ? 0 : errno == EAGAIN ? EBUSY : errno; };
  const int saved = errno;
  int r = attempt();
  if (r == EBUSY) {
    semaphore_words now;
    __builtin_memcpy(&now, s, sizeof now);
    scheduler& here = *scheduler::existing();
    here.external_wait(1);  // a signal handler may post
    // The kernel never restarts a futex call that has a timeout.
    const auto handlers = until.none() ? wait::ending_handlers::without_restart : wait::ending_handlers::all;
    r = try_and_park(s, "sem_wait", until, now.shared != 0, handlers, attempt);
    here.external_wait(-1);
  }
  errno = r == 0 ? saved : r;
  return r == 0 ? 0 : -1;
}

void sem_posted(sem_t* s) noexcept {
  if (__builtin_expect(in_handler(), 0)) return lot::wake_later(s);
  if (lot::anyone()) lot::wake(s, 1);
}

}  // namespace coir::posix

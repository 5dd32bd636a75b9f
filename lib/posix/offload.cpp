#include "posix/offload.hpp"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

#include <new>

#include "posix/elsewhere.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {
namespace {

constexpr unsigned most_helpers = 64;
constexpr timespec idle_limit = {10, 0};

// I1: `lock` guards all but `work`, which counts the jobs queued since the start and is what idle helpers
// sleep on.
struct helper_pool {
  detail::spin_lock lock;
  offloaded* first = nullptr;
  offloaded* last = nullptr;
  unsigned helpers = 0;
  unsigned idle = 0;
  unsigned queued = 0;
  unsigned endless = 0;  // jobs of that kind, queued or running
  std::atomic<std::uint32_t> work{0};

  void append_locked(offloaded* job) noexcept {
    (first == nullptr ? first : last->next) = job;
    last = job;
    ++queued;
  }
  offloaded* take_locked() noexcept {
    offloaded* job = first;
    if (job != nullptr) {
      first = job->next;
      --queued;
    }
    return job;
  }
  // False: it is not in the queue any more.
  bool withdraw_locked(offloaded* job) noexcept {
    offloaded* before = nullptr;
    for (offloaded* at = first; at != nullptr; before = at, at = at->next) {
      if (at != job) continue;
      (before == nullptr ? first : before->next) = job->next;
      if (last == job) last = before;
      --queued;
      return true;
    }
    return false;
  }
};

helper_pool pool;

}  // namespace

constinit thread_local bool starts_helper = false;

namespace {

void finish(offloaded* job) noexcept {
  wait::waiter* who = job->who;
  job->result = job->run(job);
  if (job->endless) {
    pool.lock.lock();
    --pool.endless;
    pool.lock.unlock();
  }
  if (job->finished != nullptr)
    job->finished(job);
  else if (who->claim(wait::outcome::notified))
    who->wake();
}

void* help(void*) noexcept {
  for (;;) {
    pool.lock.lock();
    const std::uint32_t seen = pool.work.load(std::memory_order_relaxed);
    offloaded* job = pool.take_locked();
    if (job == nullptr) ++pool.idle;
    pool.lock.unlock();
    if (job != nullptr) {
      finish(job);
      continue;
    }
    const long r =
        sys::raw(SYS_futex, sys::word(&pool.work), FUTEX_WAIT_PRIVATE, seen, sys::word(&idle_limit));
    pool.lock.lock();
    --pool.idle;
    const bool retire = r == -ETIMEDOUT && pool.first == nullptr;
    if (retire) --pool.helpers;
    pool.lock.unlock();
    if (retire) return nullptr;
  }
}

// After fork, in the child: the helpers stayed with the parent.
void reset() noexcept {
  pool.lock.unlock();
  pool.first = pool.last = nullptr;
  pool.helpers = pool.idle = pool.queued = pool.endless = 0;
}

const bool told_at_fork = ::pthread_atfork(nullptr, nullptr, reset) == 0;

// By pthread_create as everybody calls it, so that sanitizers know of the thread.
bool start_helper() noexcept {
  sigset_t all, before;
  sigfillset(&all);
  sys::real.pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
  starts_helper = true;
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, 1024 * 1024);
  pthread_t thread;
  bool started = ::pthread_create(&thread, &attributes, help, nullptr) == 0;
  if (!started) {  // a program whose thread-local variables do not fit
    ::pthread_attr_destroy(&attributes);
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    started = ::pthread_create(&thread, &attributes, help, nullptr) == 0;
  }
  ::pthread_attr_destroy(&attributes);
  starts_helper = false;
  sys::real.pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace

bool send_off(offloaded& job, bool endless) noexcept {
  job.endless = endless;
  job.next = nullptr;
  pool.lock.lock();
  const bool more = pool.idle <= pool.queued && (endless || pool.helpers < most_helpers + pool.endless);
  if (more) ++pool.helpers;
  if (endless) ++pool.endless;
  pool.append_locked(&job);
  pool.work.fetch_add(1, std::memory_order_release);
  pool.lock.unlock();
  if (more && !start_helper()) {
    pool.lock.lock();
    --pool.helpers;
    // It may have been taken already. Otherwise it can wait for the others only if these end.
    const bool alone = pool.helpers <= pool.endless - (endless ? 1 : 0) && pool.withdraw_locked(&job);
    if (alone && endless) --pool.endless;
    pool.lock.unlock();
    if (alone) return false;
  }
  sys::raw(SYS_futex, sys::word(&pool.work), FUTEX_WAKE_PRIVATE, 1);
  return true;
}

long offload(scheduler& s, const char* name, offloaded& job, bool endless) noexcept {
  wait::waiter w(s);
  job.who = &w;
  if (!send_off(job, endless)) return job.run(&job);
  wait::park(w, name, wait::mode::uninterruptible);
  return job.result;
}

namespace {

// What a helper and the fiber that may leave have in common; whoever comes last frees it.
struct appointment : offloaded {
  abandonable* job;
  detail::spin_lock lock;
  wait::waiter* waiting = nullptr;  // null: it has left
  bool done = false;
};

void keep(offloaded* self) noexcept {
  auto* a = static_cast<appointment*>(self);
  a->lock.lock();
  a->done = true;
  wait::waiter* w = a->waiting;
  const bool wakes = w != nullptr && w->claim(wait::outcome::notified);
  // Under the lock: who was interrupted asks for `done` with it held, and stays if it finds it.
  if (wakes) w->wake();
  const bool left = w == nullptr;
  a->lock.unlock();
  if (!left) return;
  a->job->undo();
  delete a->job;
  delete a;
}

}  // namespace

int attend(const char* name, abandonable* job, bool endless, wait::ending_handlers handlers) noexcept {
  scheduler& s = *scheduler::existing();
  if (const int error = wait::interrupt_errno(*s.current())) {
    delete job;
    return error;
  }
  auto* a = new (std::nothrow) appointment;
  if (a == nullptr) {
    delete job;
    return ENOMEM;
  }
  wait::waiter w(s);
  w.ended_by = handlers;
  a->job = job;
  a->waiting = &w;
  a->run = [](offloaded* self) noexcept -> long {
    static_cast<appointment*>(self)->job->work();
    return 0;
  };
  a->finished = keep;
  if (!send_off(*a, endless)) {
    job->work();
    delete a;
    return 0;
  }
  const wait::outcome o = wait::park(w, name);
  a->lock.lock();
  const bool done = a->done;
  if (!done) a->waiting = nullptr;
  a->lock.unlock();
  if (!done) return wait::error_of(o, *s.current());
  delete a;
  return 0;
}

}  // namespace coir::posix

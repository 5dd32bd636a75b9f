#include "posix/offload.hpp"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

#include "sys/raw.hpp"

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

  offloaded* take_locked() noexcept {
    offloaded* job = first;
    if (job != nullptr) {
      first = job->next;
      --queued;
    }
    return job;
  }
};

helper_pool pool;

void finish(offloaded* job) noexcept {
  wait::waiter* who = job->who;
  job->result = job->run(job);
  if (job->endless) {
    pool.lock.lock();
    --pool.endless;
    pool.lock.unlock();
  }
  if (who->claim(wait::outcome::notified)) who->wake();
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

bool start_helper() noexcept {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, 128 * 1024);
  pthread_t thread;
  const bool started = ::pthread_create(&thread, &attributes, help, nullptr) == 0;
  ::pthread_attr_destroy(&attributes);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace

long offload(scheduler& s, const char* name, offloaded& job, bool endless) noexcept {
  wait::waiter w(s);
  job.who = &w;
  pool.lock.lock();
  const bool more = pool.idle <= pool.queued && (endless || pool.helpers < most_helpers + pool.endless);
  if (more) ++pool.helpers;
  pool.lock.unlock();
  if (more && !start_helper()) {
    pool.lock.lock();
    const bool none = --pool.helpers == 0;
    pool.lock.unlock();
    if (none) return job.run(&job);
  }
  job.endless = endless;
  pool.lock.lock();
  if (endless) ++pool.endless;
  job.next = nullptr;
  (pool.first == nullptr ? pool.first : pool.last->next) = &job;
  pool.last = &job;
  ++pool.queued;
  pool.work.fetch_add(1, std::memory_order_release);
  pool.lock.unlock();
  sys::raw(SYS_futex, sys::word(&pool.work), FUTEX_WAKE_PRIVATE, 1);
  wait::park(w, name, wait::mode::uninterruptible);
  return job.result;
}

}  // namespace coir::posix

#include "wait/workers.hpp"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

#include <climits>
#include <utility>

#include "base/raw.hpp"
#include "base/signal_bits.hpp"

namespace coir::wait {

using base::raw;
using base::word;

constinit thread_local bool starts_worker = false;

unsigned workers::threads() noexcept {
  leaving_.lock.lock();
  const unsigned n = threads_;
  leaving_.lock.unlock();
  return n;
}

unsigned workers::most() noexcept {
  leaving_.lock.lock();
  const unsigned n = most_;
  leaving_.lock.unlock();
  return n;
}

void workers::wake_idle(int how_many) noexcept {
  raw(SYS_futex, word(&work_), FUTEX_WAKE_PRIVATE, how_many);
}

workers::answer workers::submit(thread_job& job, bool endless) noexcept {
  job.endless = endless;
  leaving_.lock.lock();
  if (closed_ && here_ != this) {
    leaving_.lock.unlock();
    return answer::closed;
  }
  const bool more = idle_ <= queued_ && (endless || threads_ < most_ + endless_);
  const bool wakes = idle_ != 0;
  if (more) ++threads_, ++living_;
  if (endless) ++endless_;
  append_locked(job);
  work_.fetch_add(1, std::memory_order_release);
  leaving_.lock.unlock();
  if (more && !start_thread()) {
    leaving_.lock.lock();
    not_started_locked(1);
    // It may have been taken already. Otherwise it can wait for the others only if these end.
    const bool alone = threads_ <= endless_ - (endless ? 1 : 0) && withdraw_locked(job);
    if (alone && endless) --endless_;
    thread_job* orphans = orphans_locked();
    leaving_.lock.unlock();
    refuse(orphans);
    if (alone) return answer::no_thread;
  }
  if (wakes) wake_idle(1);
  return answer::queued;
}

void workers::append_locked(thread_job& job) noexcept {
  job.next_job = nullptr;
  job.previous_job = last_;
  job.queued = true;
  (first_ == nullptr ? first_ : last_->next_job) = &job;
  last_ = &job;
  ++queued_;
}

bool workers::withdraw_locked(thread_job& job) noexcept {
  if (!job.queued) return false;
  job.queued = false;
  (job.previous_job == nullptr ? first_ : job.previous_job->next_job) = job.next_job;
  (job.next_job == nullptr ? last_ : job.next_job->previous_job) = job.previous_job;
  --queued_;
  return true;
}

thread_job* workers::take_all_locked() noexcept {
  for (thread_job* at = first_; at != nullptr; at = at->next_job) at->queued = false;
  queued_ = 0;
  last_ = nullptr;
  return std::exchange(first_, nullptr);
}

bool workers::withdraw(thread_job& job) noexcept {
  leaving_.lock.lock();
  const bool was_there = withdraw_locked(job);
  leaving_.lock.unlock();
  return was_there;
}

void workers::not_started_locked(unsigned how_many) noexcept {
  threads_ -= how_many;
  living_ -= how_many;
  if (living_ == 0) wake_all_locked(leaving_);
}

// Takes the queue, linked by next_job, if no thread is left that will ever look at it: others counted on one
// that did not start.
thread_job* workers::orphans_locked() noexcept {
  unsigned endless = 0;
  for (const thread_job* at = first_; at != nullptr; at = at->next_job) endless += at->endless ? 1 : 0;
  if (threads_ > endless_ - endless) return nullptr;
  endless_ -= endless;
  return take_all_locked();
}

void workers::refuse(thread_job* orphans) noexcept {
  while (orphans != nullptr) {
    thread_job* job = std::exchange(orphans, orphans->next_job);
    (job->refused != nullptr ? job->refused : job->on_thread)(job);
  }
}

void workers::nearly_done() noexcept {
  if (here_ != this) return;  // no thread could be started for the job
  nearly_done_ = true;
  leaving_.lock.lock();
  ++idle_;
  leaving_.lock.unlock();
}

void workers::resize(unsigned most) noexcept {
  leaving_.lock.lock();
  unsigned wanted = 0;  // threads for jobs that wait already
  while (threads_ < most && wanted + idle_ < queued_) ++threads_, ++living_, ++wanted;
  most_ = most;
  work_.fetch_add(1, std::memory_order_release);
  leaving_.lock.unlock();
  for (; wanted != 0; --wanted) {
    if (start_thread()) continue;
    leaving_.lock.lock();
    not_started_locked(wanted);
    thread_job* orphans = orphans_locked();
    leaving_.lock.unlock();
    refuse(orphans);
    break;
  }
  wake_idle(INT_MAX);
}

void workers::close() noexcept {
  leaving_.lock.lock();
  closed_ = true;
  work_.fetch_add(1, std::memory_order_release);
  leaving_.lock.unlock();
  wake_idle(INT_MAX);
}

thread_job* workers::take_all() noexcept {
  leaving_.lock.lock();
  thread_job* all = take_all_locked();
  leaving_.lock.unlock();
  return all;
}

outcome workers::wait_until_empty(mode m) {
  leaving_.lock.lock();
  const bool over = living_ == 0;
  leaving_.lock.unlock();
  if (over) return outcome::notified;
  queued_waiter w;
  leaving_.lock.lock();
  if (living_ == 0) {
    leaving_.lock.unlock();
    return outcome::notified;
  }
  enqueue_locked(leaving_, w);
  leaving_.lock.unlock();
  return park_queued(leaving_, w, "threads' end", base::never, m);
}

void workers::left() noexcept {
  leaving_.lock.lock();
  if (--living_ == 0) wake_all_locked(leaving_);
  leaving_.lock.unlock();  // I2: a single store, the last thing done here
}

// The key whose destructor ends a thread: called when its thread-local objects are gone, and, by being set
// once more, after those of the jobs' own keys. Not an object with a destructor: libc notes that under the
// loader's lock, which a fiber may hold that waits for this very thread. Negative: there is none to be had.
int workers::end_key() noexcept {
  constinit static std::atomic<int> known{-1};
  const int key = known.load(std::memory_order_acquire);
  if (key >= 0) return key;
  pthread_key_t fresh;
  const auto end = [](void* self) {
    if (!std::exchange(ends_, true) && ::pthread_setspecific(static_cast<unsigned>(known), self) == 0) return;
    static_cast<workers*>(self)->left();
  };
  if (::pthread_key_create(&fresh, end) != 0) return -1;
  int none = -1;
  if (known.compare_exchange_strong(none, static_cast<int>(fresh), std::memory_order_acq_rel))
    return static_cast<int>(fresh);
  ::pthread_key_delete(fresh);
  return none;
}

void* workers::body(void* self) noexcept {
  auto* pool = static_cast<workers*>(self);
  const int key = end_key();
  const bool ends_late = key >= 0 && ::pthread_setspecific(static_cast<unsigned>(key), self) == 0;
  ::pthread_setname_np(::pthread_self(), pool->name_);
  here_ = pool;
  pool->work();
  if (!ends_late) pool->left();
  return nullptr;
}

void workers::work() noexcept {
  const timespec idle_limit = base::to_timespec(idle_limit_);
  bool was_idle = false, timed_out = false;
  for (;;) {
    leaving_.lock.lock();
    if (was_idle) --idle_;
    const std::uint32_t seen = work_.load(std::memory_order_relaxed);
    thread_job* job = first_;
    const bool surplus = threads_ > most_ + endless_;
    if (surplus || (job == nullptr && (closed_ || timed_out))) {
      --threads_;
      leaving_.lock.unlock();
      if (job != nullptr) wake_idle(1);  // the wake-up may have been for that one
      return;
    }
    if (job == nullptr) {
      ++idle_;
    } else {
      withdraw_locked(*job);
    }
    leaving_.lock.unlock();
    was_idle = job == nullptr;
    if (was_idle) {
      timed_out = raw(SYS_futex, word(&work_), FUTEX_WAIT_PRIVATE, seen, word(&idle_limit)) == -ETIMEDOUT;
      continue;
    }
    timed_out = false;
    const bool endless = job->endless;
    endless_job_ = endless;
    job->on_thread(job);
    endless_job_ = false;
    was_idle = std::exchange(nearly_done_, false);
    if (!endless) continue;
    leaving_.lock.lock();
    --endless_;
    leaving_.lock.unlock();
  }
}

// By pthread_create as everybody calls it, so that sanitizers know of the thread.
bool workers::start_thread() noexcept {
  std::uint64_t before = 0;
  // Signals are for the program's own threads, but what tells of an error is for the thread that made it.
  const std::uint64_t all = ~(sched::never_blocked | base::error_signals | base::bit(SIGABRT));
  raw(SYS_rt_sigprocmask, SIG_SETMASK, word(&all), word(&before), sizeof all);
  starts_worker = true;
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (stack_size_ != 0) ::pthread_attr_setstacksize(&attributes, stack_size_);
  pthread_t thread;
  bool started = ::pthread_create(&thread, &attributes, body, this) == 0;
  if (!started && stack_size_ != 0) {  // a program whose thread-local variables do not fit
    ::pthread_attr_destroy(&attributes);
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    started = ::pthread_create(&thread, &attributes, body, this) == 0;
  }
  ::pthread_attr_destroy(&attributes);
  starts_worker = false;
  raw(SYS_rt_sigprocmask, SIG_SETMASK, word(&before), 0, sizeof before);
  return started;
}

void workers::forget_in_child() noexcept {
  leaving_.lock.unlock();
  leaving_.head = leaving_.tail = nullptr;
  first_ = last_ = nullptr;
  threads_ = living_ = here_ == this ? 1 : 0;
  idle_ = queued_ = 0;
  endless_ = here_ == this && endless_job_ ? 1 : 0;
}

}  // namespace coir::wait

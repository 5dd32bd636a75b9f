#include "posix/offload.hpp"

#include <errno.h>
#include <pthread.h>

#include <new>

#include "posix/elsewhere.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {
namespace {

constinit wait::workers helpers("coir-helper", 64, 10'000'000'000, 1024 * 1024);

const bool told_at_fork = ::pthread_atfork(nullptr, nullptr, [] { helpers.forget_in_child(); }) == 0;

void work(wait::thread_job* self) noexcept {
  auto* job = static_cast<offloaded*>(self);
  wait::waiter* who = job->who;
  job->result = job->run(job);
  if (job->finished != nullptr)
    job->finished(job);
  else if (who->claim(wait::outcome::notified))
    who->wake();
}

}  // namespace

bool send_off(offloaded& job, bool endless) noexcept {
  job.on_thread = work;
  return helpers.submit(job, endless) == wait::workers::answer::queued;
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

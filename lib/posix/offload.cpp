#include "posix/offload.hpp"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <new>

#include "base/signal_bits.hpp"
#include "posix/elsewhere.hpp"
#include "posix/loader.hpp"
#include "sys/pending.hpp"
#include "sys/raw.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {
namespace {

constinit wait::workers helpers("coir-helper", 64, 50'000'000, 1024 * 1024);

const bool helpers_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] { helpers.forget_in_child(); }) == 0;

// By which the kernel tells the thread that makes a call of its failure. Blocked on helpers.
constexpr std::uint64_t signals_of_calls = base::bit(SIGPIPE) | base::bit(SIGXFSZ);

std::uint64_t take_signals() noexcept {
  if (wait::workers::here() != &helpers) return 0;  // no helper could be had: they came to whom they are for
  std::uint64_t pending = 0;
  sys::raw(SYS_rt_sigpending, sys::word(&pending), sizeof pending);
  pending &= signals_of_calls;
  if (__builtin_expect(pending == 0, 1)) return 0;
  pending &= sys::pending_for_thread();  // others are the process's
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    const std::uint64_t one = pending & base::bit(signal);
    constexpr timespec now = {0, 0};
    if (one != 0) sys::raw(SYS_rt_sigtimedwait, sys::word(&one), 0, sys::word(&now), sizeof one);
  }
  return pending;
}

// As the kernel sends them; to oneself that may be said.
void raise_here(scheduler& s, std::uint64_t signals) noexcept {
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    if ((signals & base::bit(signal)) == 0) continue;
    siginfo_t info = {};
    info.si_signo = signal;
    info.si_code = SI_USER;
    info.si_pid = ::getpid();
    info.si_uid = ::getuid();
    sys::raw(SYS_rt_tgsigqueueinfo, info.si_pid, s.thread_id(), signal, sys::word(&info));
  }
}

long run_here(scheduler& s, offloaded& job, bool endless) noexcept {
  right_here(
      s, [&] { job.result = job.run(&job); }, endless);
  return job.result;
}

void work(wait::thread_job* self) noexcept {
  auto* job = static_cast<offloaded*>(self);
  wait::waiter* who = job->who;
  job->result = job->run(job);
  job->signals = take_signals();
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
  if (s.alone() || (!endless && holds_loader(s))) return run_here(s, job, endless);
  wait::waiter w(s);
  w.ends_soon = !endless;
  job.who = &w;
  if (!send_off(job, endless)) return run_here(s, job, endless);
  wait::park(w, name, wait::mode::uninterruptible);
  if (__builtin_expect(job.signals != 0, 0)) raise_here(s, job.signals);
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
  if (s.alone()) {
    right_here(
        s, [&] { job->work(); }, true);
    return 0;
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
  if ((!endless && holds_loader(s)) || !send_off(*a, endless)) {
    right_here(s, [&] { job->work(); });
    delete a;
    return 0;
  }
  const wait::outcome o = wait::park(w, name);
  a->lock.lock();
  const bool done = a->done;
  if (!done) a->waiting = nullptr;
  a->lock.unlock();
  if (!done) return wait::error_of(o, *s.current());
  if (__builtin_expect(a->signals != 0, 0)) raise_here(s, a->signals);
  delete a;
  return 0;
}

}  // namespace coir::posix

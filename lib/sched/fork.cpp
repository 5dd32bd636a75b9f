// What a fork leaves of the schedulers: the locks as they are in the parent, and in the child the calling
// fiber only.
#include <pthread.h>
#include <signal.h>

#include <bit>
#include <new>

#include "sched/scheduler.hpp"
#include "sys/raw.hpp"

namespace coir::sched {
namespace {

// No handler runs between the locks and the child's mailboxes, so that none posts what is lost with them, or
// what is in one already. Guarded by the registry's lock.
std::uint64_t mask_at_fork = 0;

void set_mask(std::uint64_t mask, std::uint64_t* before) noexcept {
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, sys::word(&mask), sys::word(before), sizeof mask);
}

void prepare_fork() noexcept {
  std::uint64_t before = 0;
  set_mask(~never_blocked, &before);
  registry::lock();
  mask_at_fork = before;
  context::lock_for_fork();
}
void fork_parent() noexcept {
  const std::uint64_t before = mask_at_fork;
  reactor::private_epoch.fetch_add(1, std::memory_order_relaxed);
  context::unlock_after_fork();
  registry::unlock();
  set_mask(before, nullptr);
}
void fork_child() noexcept {
  reactor::private_epoch.fetch_add(1, std::memory_order_relaxed);
  context::unlock_after_fork();
  registry::unlock();
  scheduler* s = scheduler::existing();
  mailbox::forget_others(s != nullptr ? &s->mail() : nullptr);
  if (up.mail_lost != nullptr) up.mail_lost();
  if (s != nullptr)
    s->after_fork_in_child(mask_at_fork);
  else
    set_mask(mask_at_fork, nullptr);
}

}  // namespace

bool tell_at_fork() noexcept {
  return ::pthread_atfork(prepare_fork, fork_parent, fork_child) == 0;
}

void scheduler::after_fork_in_child(std::uint64_t mask) noexcept {
  ++forks_;
  // The parent's registrations live on behind the inherited descriptors: they are closed, and nothing is
  // removed.
  io_.reset();
  fds_.clear();
  thread_id_ = static_cast<int>(sys::raw(SYS_gettid));
  forget_signals_in_child(mask);
  if (guest_ != nullptr) return after_fork_with_guest();
  // The other fibers' stacks are copies nobody will run; they stay mapped, with all they refer to.
  queue_.clear();
  urgent_ = {};
  new (&timers_) timer_wheel;
  detail::cooperative = static_cast<std::uint32_t>(std::popcount(grounds_));
  detail::listening = (grounds_ & handlers) != 0 ? 1 : 0;
  if (up.forked != nullptr) up.forked(*own_current());  // adds its interrupts and timeout scopes
  fibers_.next = fibers_.prev = &fibers_;
  live_ = 0;
  external_ = 0;
  if (own_current() != &main_) {
    main_left_behind_ = true;
    main_.waiting = nullptr;
    base::insert_after(&fibers_, &own_current()->all);
    live_ = 1;
    ++detail::cooperative;
  }
}

void scheduler::after_fork_with_guest() noexcept {
  new (&timers_) timer_wheel;
  external_ = 0;
  if (up.forked != nullptr) up.forked(*guest_->current());  // before the guest forgets who is lost
  guest_->forked();
}

}  // namespace coir::sched

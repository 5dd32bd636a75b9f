// What some fibers have of their own besides errno and exceptions: a signal mask, and scopes in which their
// calls are not patched.
//
// The thread has these only once, so they are exchanged when such a fiber leaves or comes back. A fiber says
// so by `carries_mark`, in a word that every switch reads anyway: the others pay nothing.
// I1: while it runs, `carried_` tells whether the current fiber has any; while it does not, the mark in
//     fiber::eh_uncaught does.
// I2: `common_mask_` is the mask of all fibers without their own; it is known while own_masks_ != 0, and the
//     kernel's own for this thread otherwise.
#include <errno.h>
#include <signal.h>

#include "sched/scheduler.hpp"
#include "sys/categories.hpp"
#include "sys/raw.hpp"

namespace coir::sched {
namespace {

constexpr std::uint64_t bit(int signal) noexcept {
  return std::uint64_t{1} << (signal - 1);
}

// libc's own two signals; it lets nobody block them.
constexpr std::uint64_t of_libc = bit(32) | bit(33);

std::uint64_t kernel_mask() noexcept {
  std::uint64_t mask = 0;
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, 0, sys::word(&mask), sizeof mask);
  return mask;
}

void set_kernel_mask(std::uint64_t mask) noexcept {
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, sys::word(&mask), 0, sizeof mask);
}

// `to`, when `from` was in force. A SIGPIPE is always the thread's whose write raised it: one that a fiber
// holds back must not reach another.
std::uint64_t exchange_mask(std::uint64_t from, std::uint64_t to) noexcept {
  std::uint64_t pending = 0;
  if ((from & ~to & bit(SIGPIPE)) != 0) sys::raw(SYS_rt_sigpending, sys::word(&pending), sizeof pending);
  return to | (pending & bit(SIGPIPE));
}

}  // namespace

void scheduler::note_carried(fiber* f) noexcept {
  const bool any = f->patch_off_depth != 0 || f->has_signal_mask;
  carried_ = any ? carries_mark : 0;
  if (any) f->set(detail::carries_flow);
}

void scheduler::carry(fiber* self, fiber* to) noexcept {
  const bool comes = to->patch_off_depth != 0 || to->has_signal_mask;
  if (self->has_signal_mask || to->has_signal_mask) {
    const std::uint64_t before = self->has_signal_mask ? self->signal_mask : common_mask_;
    set_kernel_mask(exchange_mask(before, to->has_signal_mask ? to->signal_mask : common_mask_));
  }
  detail::patch_off = to->patch_off_depth != 0 ? sys::all_categories : patch_off_;
  carried_ = comes ? carries_mark : 0;
}

void scheduler::inherit_carried(fiber* child) noexcept {
  if (!current_->has_signal_mask) return;
  child->has_signal_mask = true;
  child->signal_mask = current_->signal_mask;
  child->eh_uncaught = carries_mark;
  child->set(detail::carries_flow);
  ++own_masks_;
}

void scheduler::drop_carried(fiber* f) noexcept {
  if (f->has_signal_mask) {
    if (f == current_) set_kernel_mask(exchange_mask(f->signal_mask, common_mask_));
    f->has_signal_mask = false;
    --own_masks_;
  }
  f->patch_off_depth = 0;
  f->eh_uncaught = 0;
  if (f != current_) return;
  detail::patch_off = patch_off_;
  carried_ = 0;
}

void scheduler::idle_mask(bool idle) noexcept {
  const fiber& f = *current_;
  if (!f.has_signal_mask) return;
  set_kernel_mask(idle ? exchange_mask(f.signal_mask, common_mask_) : f.signal_mask);
}

void scheduler::switch_patch_off(int change) noexcept {
  fiber* f = current_;
  f->patch_off_depth += static_cast<std::uint32_t>(change);
  detail::patch_off = f->patch_off_depth != 0 ? sys::all_categories : patch_off_;
  note_carried(f);
}

long scheduler::change_signal_mask(int how, const std::uint64_t* set, std::uint64_t* before) noexcept {
  std::uint64_t was = 0;
  const long r = sys::raw(SYS_rt_sigprocmask, how, sys::word(set), sys::word(&was), sizeof was);
  if (r < 0) return r;
  fiber* f = current_;
  if (f->has_signal_mask)
    was = f->signal_mask;
  else if (own_masks_ != 0)
    was = common_mask_;
  if (before != nullptr) *before = was;
  if (set == nullptr || guest_ != nullptr) return 0;
  if (own_masks_ == 0) common_mask_ = was;
  const std::uint64_t now = how == SIG_SETMASK ? *set : how == SIG_BLOCK ? was | *set : was & ~*set;
  f->signal_mask = now & ~(of_libc | bit(SIGKILL) | bit(SIGSTOP));
  set_kernel_mask(f->signal_mask);
  const bool own = f->signal_mask != common_mask_;
  if (own == f->has_signal_mask) return 0;
  f->has_signal_mask = own;
  own_masks_ = own ? own_masks_ + 1 : own_masks_ - 1;
  note_carried(f);
  return 0;
}

std::uint64_t scheduler::common_signal_mask() noexcept {
  return own_masks_ != 0 ? common_mask_ : kernel_mask();
}

void scheduler::set_common_signal_mask(std::uint64_t mask) noexcept {
  common_mask_ = mask;
  if (!current_->has_signal_mask) set_kernel_mask(mask);
}

}  // namespace coir::sched

// What some fibers have of their own besides errno and exceptions: a signal mask, and scopes in which their
// calls are not patched.
//
// The thread has these only once, so they are exchanged when such a fiber leaves or comes back. A fiber says
// so by `carries_mark`, in a word that every switch reads anyway: the others pay nothing.
// I1: while it runs, `carried_` tells whether the current fiber has any; while it does not, the mark in
//     fiber::eh_uncaught does.
// I2: `common_mask_` is the mask of all fibers without their own. It is known while the kernel's for this
// thread
//     may be another: while some have their own, or signals are overlaid, awaited or held.
// I3: while a fiber runs, its mask is in force; while the thread sleeps, what all of them block. In both
// cases
//     what is awaited or held is blocked besides.
#include <errno.h>
#include <signal.h>

#include "base/signal_bits.hpp"
#include "sched/scheduler.hpp"
#include "sys/categories.hpp"
#include "sys/pending.hpp"
#include "sys/raw.hpp"

namespace coir::sched {

using base::bit;

// The kernel's two, and libc's.
std::uint64_t never_blocked = bit(SIGKILL) | bit(SIGSTOP) | bit(32) | bit(33);

std::atomic<std::uint64_t> silent_signals{0};
std::atomic<void*> telling_handler{nullptr};

bool has_other_handlers() noexcept {
  // Errors are not what a thread sleeps through; 32 and 33 are libc's own.
  const std::uint64_t others =
      silent_signals.load(std::memory_order_relaxed) | base::error_signals | bit(32) | bit(33);
  const auto tells = reinterpret_cast<std::uintptr_t>(telling_handler.load(std::memory_order_acquire));
  for (int number = 1; number <= 64; ++number) {
    if ((others & bit(number)) != 0) continue;
    struct {
      std::uintptr_t run;
      unsigned long rest[8];
    } action = {};
    if (sys::raw(SYS_rt_sigaction, number, 0, sys::word(&action), 8) != 0) continue;
    if (action.run > reinterpret_cast<std::uintptr_t>(SIG_IGN) && action.run != tells) return true;
  }
  return false;
}

namespace {

std::uint64_t kernel_mask() noexcept {
  std::uint64_t mask = 0;
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, 0, sys::word(&mask), sizeof mask);
  return mask;
}

void set_kernel_mask(std::uint64_t mask) noexcept {
  mask &= ~never_blocked;
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, sys::word(&mask), 0, sizeof mask);
}

}  // namespace

void scheduler::note_carried(fiber* f) noexcept {
  const bool any = f->patch_off_depth != 0 || f->has_signal_mask;
  carries(any);
  if (any) f->set(detail::carries_flow);
}

std::uint64_t scheduler::mask_for(const fiber& f) const noexcept {
  return f.has_signal_mask ? f.signal_mask : common_mask_;
}

void scheduler::put_mask(std::uint64_t mask) noexcept {
  set_kernel_mask(mask | held_ | awaited_);
}

// A signal that was sent to this thread (raise, or a SIGPIPE of its own write) while a fiber blocks it is
// this fiber's: it stays blocked until that lets it through. One for the process is for whoever lets it.
void scheduler::leave_mask(fiber* self, std::uint64_t next) noexcept {
  if (self->has_signal_mask && (self->signal_mask & ~next) != 0) {
    std::uint64_t pending = 0;
    sys::raw(SYS_rt_sigpending, sys::word(&pending), sizeof pending);
    pending &= self->signal_mask & ~next;
    if (pending != 0) pending &= sys::pending_for_thread();
    self->held_signals |= pending;
    held_ |= pending;
  }
  put_mask(next);
}

void scheduler::let_go_of_held(fiber* f, std::uint64_t still) noexcept {
  if ((f->held_signals & ~still) == 0) return;
  f->held_signals &= still;
  held_ = main_.held_signals;
  for (base::list_node* n = fibers_.next; n != &fibers_; n = n->next) held_ |= fiber_of(n)->held_signals;
  held_ |= f->held_signals;  // one that ends is in no list any more
}

void scheduler::carry(fiber* self, fiber* to) noexcept {
  const bool comes = to->patch_off_depth != 0 || to->has_signal_mask;
  if ((self->has_signal_mask || to->has_signal_mask) && mask_for(*self) != mask_for(*to))
    leave_mask(self, mask_for(*to));
  detail::patch_off = to->patch_off_depth != 0 ? sys::all_categories : patch_off_;
  carries(comes);
}

void scheduler::inherit_carried(fiber* child) noexcept {
  if ((carried_ & sanitized_mark) != 0) {
    child->annotations.begin(child->stack.low,
                             static_cast<std::size_t>(reinterpret_cast<char*>(child) - child->stack.low),
                             tsan_states_);
    child->set(has_extras);
  }
  if (!own_current()->has_signal_mask) return;
  child->has_signal_mask = true;
  child->signal_mask = own_current()->signal_mask;
  child->eh_uncaught = carries_mark;
  child->set(detail::carries_flow);
  ++own_masks_;
}

void scheduler::drop_carried(fiber* f) noexcept {
  if (f->has_signal_mask) {
    f->has_signal_mask = false;
    --own_masks_;
    own_masks_changed_ = true;
    let_go_of_held(f, 0);
    if (f == own_current()) put_mask(common_mask_);
  }
  f->patch_off_depth = 0;
  f->eh_uncaught = 0;
  if (f != own_current()) return;
  detail::patch_off = patch_off_;
  carries(false);
}

// What every fiber blocks.
std::uint64_t scheduler::mask_of_all() noexcept {
  if (own_masks_changed_) {
    own_masks_changed_ = false;
    all_own_masks_ = ~std::uint64_t{0};
    if (main_.has_signal_mask && !main_left_behind_) all_own_masks_ &= main_.signal_mask;
    for (base::list_node* n = fibers_.next; n != &fibers_; n = n->next)
      if (fiber_of(n)->has_signal_mask) all_own_masks_ &= fiber_of(n)->signal_mask;
  }
  std::uint64_t all = own_masks_ != 0 ? all_own_masks_ : ~std::uint64_t{0};
  const std::uint32_t fibers = live_ + (main_left_behind_ ? 0 : 1);
  if (own_masks_ < fibers) all &= common_mask_;
  return overlaid_ ? all & overlay_mask_ : all;
}

void scheduler::fall_asleep() noexcept {
  own_handler_ran_ = false;
  asleep_ = true;
  if (mask_known()) leave_mask(own_current(), mask_of_all());
}
void scheduler::wake_up() noexcept {
  asleep_ = false;
  if (mask_known()) put_mask(mask_for(*own_current()));
}

void scheduler::switch_patch_off(int change) noexcept {
  fiber* f = own_current();
  f->patch_off_depth += static_cast<std::uint32_t>(change);
  detail::patch_off = f->patch_off_depth != 0 ? sys::all_categories : patch_off_;
  note_carried(f);
}

long scheduler::change_signal_mask(int how, const std::uint64_t* set, std::uint64_t* before) noexcept {
  if (guest_ != nullptr)
    return sys::raw(SYS_rt_sigprocmask, how, sys::word(set), sys::word(before), sizeof *set);
  fiber* f = own_current();
  const std::uint64_t was = f->has_signal_mask ? f->signal_mask : common_signal_mask();
  if (set != nullptr) {
    const std::uint64_t wanted = *set & ~never_blocked;
    std::uint64_t now;
    switch (how) {
      case SIG_BLOCK:
        now = was | wanted;
        break;
      case SIG_UNBLOCK:
        now = was & ~wanted;
        break;
      case SIG_SETMASK:
        now = wanted;
        break;
      default:
        return -EINVAL;
    }
    set_own_mask(f, was, now);
  }
  if (before != nullptr) *before = was;
  return 0;
}

void scheduler::set_own_mask(fiber* f, std::uint64_t was, std::uint64_t now) noexcept {
  if (!mask_known()) common_mask_ = was;
  if (live_ == 0) common_mask_ = now;  // the only fiber's is the thread's
  const bool own = now != common_mask_;
  if (own != f->has_signal_mask) own_masks_ = own ? own_masks_ + 1 : own_masks_ - 1;
  f->has_signal_mask = own;
  f->signal_mask = now;
  own_masks_changed_ = true;
  let_go_of_held(f, now);
  put_mask(now);
  note_carried(f);
}

std::uint64_t scheduler::common_signal_mask() const noexcept {
  return mask_known() ? common_mask_ : kernel_mask();
}

void scheduler::overlay_signal_mask(const std::uint64_t* mask) noexcept {
  if (!mask_known()) common_mask_ = kernel_mask();
  overlaid_ = mask != nullptr;
  if (overlaid_) overlay_mask_ = *mask;
}

void scheduler::await_signals(std::uint64_t signals) noexcept {
  if (!mask_known()) common_mask_ = kernel_mask();
  awaited_ = signals;
  put_mask(mask_for(*own_current()));
}

void scheduler::forget_signals_in_child(std::uint64_t mask) noexcept {
  handled_posted_.store(false, std::memory_order_relaxed);  // the mailbox was emptied
  take_handled();
  if (!mask_known()) common_mask_ = mask;
  overlaid_ = asleep_ = false;
  awaited_ = held_ = own_current()->held_signals = 0;
  own_masks_ = own_current()->has_signal_mask ? 1 : 0;
  own_masks_changed_ = true;
  put_mask(mask_for(*own_current()));
}

void scheduler::note_handler(int signal, bool restarts) noexcept {
  if (signal != 0) handled_.fetch_or(bit(signal), std::memory_order_acq_rel);
  if (signal != 0 && !restarts) handled_without_restart_.fetch_or(bit(signal), std::memory_order_acq_rel);
  handled_beside_ = idle() ? nullptr : own_current();
  if (handled_posted_.exchange(true, std::memory_order_acq_rel)) return;
  handled_node_.deliver = [](base::inbox_node* node) noexcept {
    auto* s =
        reinterpret_cast<scheduler*>(reinterpret_cast<char*>(node) - offsetof(scheduler, handled_node_));
    s->handled_posted_.store(false, std::memory_order_release);
    if (up.interrupted != nullptr) up.interrupted(*s, false);
  };
  mail().push_from_handler(&handled_node_);
}

}  // namespace coir::sched

// What some fibers have of their own besides errno and exceptions: a signal mask, and scopes in which their
// calls are not patched.
//
// The thread has these only once, so they are exchanged when such a fiber leaves or comes back. A fiber says
// so by `carries_mark`, in a word that every switch reads anyway: the others pay nothing.
// I1: while it runs, `carried_` tells whether the current fiber has any; while it does not, the mark in
//     fiber::eh_uncaught does.
// I2: `common_mask_` is the mask of all fibers without their own. It is known while some have their own, or
//     an overlay is in force in its place; otherwise it is what the kernel has for this thread.
#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sched/scheduler.hpp"
#include "sys/categories.hpp"
#include "sys/raw.hpp"

namespace coir::sched {
namespace {

constexpr std::uint64_t bit(int signal) noexcept {
  return std::uint64_t{1} << (signal - 1);
}

}  // namespace

// The kernel's two, and libc's.
std::uint64_t never_blocked = bit(SIGKILL) | bit(SIGSTOP) | bit(32) | bit(33);

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

// Of the pending signals those for this thread alone. Only /proc tells them from the process's.
std::uint64_t pending_for_thread() noexcept {
  char text[4096];
  const long fd = sys::raw(SYS_openat, AT_FDCWD, sys::word("/proc/thread-self/status"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const long size = sys::raw(SYS_read, fd, sys::word(text), sizeof text - 1);
  sys::raw(SYS_close, fd);
  text[std::max(size, 0L)] = '\0';
  const char* found = std::strstr(text, "\nSigPnd:\t");
  return found != nullptr ? std::strtoull(found + 9, nullptr, 16) : 0;
}

}  // namespace

void scheduler::note_carried(fiber* f) noexcept {
  const bool any = f->patch_off_depth != 0 || f->has_signal_mask;
  carried_ = any ? carries_mark : 0;
  if (any) f->set(detail::carries_flow);
}

std::uint64_t scheduler::mask_for(const fiber& f) const noexcept {
  return f.has_signal_mask ? f.signal_mask : overlaid_ ? overlay_mask_ : common_mask_;
}

// A signal that was sent to this thread (raise, or a SIGPIPE of its own write) while a fiber blocks it is
// this fiber's: it stays blocked until that lets it through. One for the process is for whoever lets it.
void scheduler::change_kernel_mask(std::uint64_t from, std::uint64_t to) noexcept {
  if ((from & ~to) != 0) {
    std::uint64_t pending = 0;
    sys::raw(SYS_rt_sigpending, sys::word(&pending), sizeof pending);
    if ((pending & from & ~to) != 0) pending = pending_for_thread();
    held_ = (held_ & ~from) | (pending & from);
  }
  set_kernel_mask(to | held_ | awaited_);
}

void scheduler::carry(fiber* self, fiber* to) noexcept {
  const bool comes = to->patch_off_depth != 0 || to->has_signal_mask;
  if ((self->has_signal_mask || to->has_signal_mask) && mask_for(*self) != mask_for(*to))
    change_kernel_mask(self->has_signal_mask ? self->signal_mask : 0, mask_for(*to));
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
    f->has_signal_mask = false;
    held_ &= ~f->signal_mask;
    if (f == current_) set_kernel_mask(mask_for(*f) | held_ | awaited_);
    --own_masks_;
  }
  f->patch_off_depth = 0;
  f->eh_uncaught = 0;
  if (f != current_) return;
  detail::patch_off = patch_off_;
  carried_ = 0;
}

// What some fiber lets through.
std::uint64_t scheduler::mask_of_all() noexcept {
  if (overlaid_) return overlay_mask_;
  if (own_masks_ <= live_) return common_mask_;
  std::uint64_t all = main_.signal_mask;
  for (base::list_node* n = fibers_.next; n != &fibers_; n = n->next) all &= fiber_of(n)->signal_mask;
  return all;
}

void scheduler::idle_mask(bool idle) noexcept {
  if (!idle)
    set_kernel_mask(mask_for(*current_) | held_ | awaited_);
  else
    change_kernel_mask(current_->has_signal_mask ? current_->signal_mask : 0, mask_of_all());
}

void scheduler::switch_patch_off(int change) noexcept {
  fiber* f = current_;
  f->patch_off_depth += static_cast<std::uint32_t>(change);
  detail::patch_off = f->patch_off_depth != 0 ? sys::all_categories : patch_off_;
  note_carried(f);
}

long scheduler::change_signal_mask(int how, const std::uint64_t* set, std::uint64_t* before) noexcept {
  std::uint64_t was = 0;
  const std::uint64_t wanted = set != nullptr ? *set & ~never_blocked : 0;
  const long r =
      sys::raw(SYS_rt_sigprocmask, how, set != nullptr ? sys::word(&wanted) : 0, sys::word(&was), sizeof was);
  if (r < 0) return r;
  fiber* f = current_;
  if (f->has_signal_mask)
    was = f->signal_mask;
  else if (mask_known())
    was = common_mask_;
  if (before != nullptr) *before = was;
  if (set == nullptr || guest_ != nullptr) return 0;
  if (live_ == 0) {  // the only fiber's mask is the thread's
    if (f->has_signal_mask) --own_masks_;
    f->has_signal_mask = false;
    held_ = 0;
    note_carried(f);
    return 0;
  }
  if (!mask_known()) common_mask_ = was;
  const std::uint64_t now = how == SIG_SETMASK ? wanted : how == SIG_BLOCK ? was | wanted : was & ~wanted;
  f->signal_mask = now;
  held_ &= ~(was & ~f->signal_mask);
  set_kernel_mask(f->signal_mask | held_ | awaited_);
  const bool own = f->signal_mask != common_mask_;
  if (own == f->has_signal_mask) return 0;
  f->has_signal_mask = own;
  own_masks_ = own ? own_masks_ + 1 : own_masks_ - 1;
  note_carried(f);
  return 0;
}

std::uint64_t scheduler::common_signal_mask() const noexcept {
  return mask_known() ? common_mask_ : kernel_mask();
}

void scheduler::overlay_signal_mask(const std::uint64_t* mask) noexcept {
  if (!mask_known()) common_mask_ = kernel_mask();
  overlaid_ = mask != nullptr;
  if (overlaid_) overlay_mask_ = *mask;
  if (!current_->has_signal_mask) set_kernel_mask(mask_for(*current_) | held_ | awaited_);
}

void scheduler::await_signals(std::uint64_t signals) noexcept {
  if (!mask_known()) common_mask_ = kernel_mask();
  awaited_ = signals;
  set_kernel_mask(mask_for(*current_) | held_ | awaited_);
}

void scheduler::note_handler(int signal, bool restarts) noexcept {
  if (signal != 0) handled_.fetch_or(bit(signal), std::memory_order_acq_rel);
  if (signal != 0 && !restarts) handled_without_restart_.fetch_or(bit(signal), std::memory_order_acq_rel);
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

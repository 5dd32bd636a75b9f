// Signal handlers and masks.
//
// Every handler that the program installs is run by one of coir's: so calls made in it go straight to libc,
// whatever they interrupted, and coir knows that it ran, and whether it has SA_RESTART. What the program sees
// of its handlers is what it set.
#pragma once

#include <signal.h>

#include "posix/descriptor.hpp"
#include "wait/landing.hpp"

namespace coir::posix {

// --- any thread, fiber or not, also in a handler ---
int sigaction(int signal, const struct sigaction* now, struct sigaction* before) noexcept;
sighandler_t signal(int signal, sighandler_t handler) noexcept;
int siginterrupt(int signal, int interrupts) noexcept;
int sigaltstack(const stack_t* now, stack_t* before) noexcept;
// Whether a signal handler of the program runs on this thread.
bool in_handler() noexcept;
// Before a jump (longjmp). If it leaves a handler, the calls that follow are ordinary ones again. Returns if
// the jump can be made at once; else `make` is called where it can: wait/landing.hpp.
void leave_handler(__jmp_buf_tag* to, int value, void (*make)(const wait::jump& j) noexcept) noexcept;
// Whether the fiber's call is to be left for such a jump: EINTR is not to be heard by looping.
bool about_to_jump() noexcept;
// Before main.
void note_patch_code(wait::code_range code) noexcept;
// COIR_PATCH without `signals`: from now on handlers are installed as they are.
void leave_handlers_alone() noexcept;

// Whether `change_mask` is to be used: the fibers of this thread have masks of their own, or may have.
bool has_masks_of_fibers() noexcept;

// --- threads with fibers ---
// 0 or an errno, as pthread_sigmask.
int change_mask(int how, const sigset_t* set, sigset_t* before) noexcept;
int sigsuspend(const sigset_t* mask) noexcept;
// sigtimedwait and its kin: the signal's number, or -errno; -EAGAIN when `duration` has passed (null: never).
long wait_for_signal(const sigset_t* set, siginfo_t* info, const timespec* duration,
                     const char* name) noexcept;

// Whether a signal waits that `mask` (null: none) lets through. Its handler has run then, for this call.
bool lets_signal_through(const sigset_t* mask) noexcept;

// The signal mask of a call, in force while it waits. Several fibers of a thread may be in such calls: then
// what any of them lets through is let through.
class masked {
 public:
  explicit masked(const sigset_t* mask) noexcept;
  ~masked();
  masked(const masked&) = delete;
  masked& operator=(const masked&) = delete;

  const std::uint64_t* mask() const noexcept { return active_ ? &mask_ : nullptr; }

 private:
  static void apply() noexcept;
  static thread_local masked* innermost;
  static const bool told_at_fork;

  bool active_;
  std::uint64_t mask_ = 0;
  masked* next_ = nullptr;
};

}  // namespace coir::posix

// Signal handlers and masks. These act on every thread: handlers are the process's.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>

#include <cstring>

#include "patch/hook.hpp"
#include "posix/close.hpp"
#include "posix/locks.hpp"
#include "posix/signals.hpp"

namespace detail = coir::detail;
namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(signals)

COIR_HOOK int sigaction(int number, const struct sigaction* now, struct sigaction* before) noexcept {
  return posix::sigaction(number, now, before);
}
COIR_HOOK sighandler_t signal(int number, sighandler_t run) noexcept {
  return posix::signal(number, run);
}
COIR_HOOK sighandler_t bsd_signal(int number, sighandler_t run) noexcept {
  return posix::signal(number, run);
}
COIR_HOOK sighandler_t ssignal(int number, sighandler_t run) noexcept {
  return posix::signal(number, run);
}
COIR_HOOK int siginterrupt(int number, int interrupts) noexcept {
  return posix::siginterrupt(number, interrupts);
}
COIR_HOOK int sigaltstack(const stack_t* now, stack_t* before) noexcept {
  return posix::sigaltstack(now, before);
}

namespace {
bool sets_masks_of_fibers() noexcept {
  return (detail::patch_off & static_cast<std::uint32_t>(coir_category)) == 0 && posix::has_masks_of_fibers();
}
}  // namespace
COIR_HOOK int pthread_sigmask(int how, const sigset_t* set, sigset_t* before) noexcept {
  return sets_masks_of_fibers() ? posix::change_mask(how, set, before)
                                : real.pthread_sigmask(how, set, before);
}
COIR_HOOK int sigprocmask(int how, const sigset_t* set, sigset_t* before) noexcept {
  const int error = pthread_sigmask(how, set, before);
  if (error == 0) return 0;
  errno = error;
  return -1;
}
COIR_HOOK int sigsuspend(const sigset_t* mask) {
  return COIR_COOPERATIVE && !posix::in_vfork_child() ? posix::sigsuspend(mask) : real.sigsuspend(mask);
}

extern "C" [[gnu::weak]] void __asan_handle_no_return();

// A handler may be left by a jump.
namespace {
[[noreturn]] void jump(__jmp_buf_tag* to, int value) noexcept;

void land(const coir::wait::jump& j) noexcept {
  if (j.blocks != 0) {
    sigset_t blocks = {};
    std::memcpy(&blocks, &j.blocks, sizeof j.blocks);
    pthread_sigmask(SIG_BLOCK, &blocks, nullptr);
  }
  jump(j.to, j.value);
}

void jump(__jmp_buf_tag* to, int value) noexcept {
  posix::leave_handler(to, value, land);
  posix::leave_initialisers(to);
  // libc would restore the kernel's mask only.
  if (to->__mask_was_saved != 0 && sets_masks_of_fibers())
    posix::change_mask(SIG_SETMASK, reinterpret_cast<const sigset_t*>(&to->__saved_mask), nullptr);
  // As its own siglongjmp does: the frames below are left.
  if (&__asan_handle_no_return != nullptr) __asan_handle_no_return();
  real.siglongjmp(to, value);
  __builtin_unreachable();
}
}  // namespace
COIR_HOOK void longjmp(__jmp_buf_tag* to, int value) noexcept {
  jump(to, value);
}
COIR_HOOK void _longjmp(__jmp_buf_tag* to, int value) noexcept {
  jump(to, value);
}
COIR_HOOK void siglongjmp(__jmp_buf_tag* to, int value) noexcept {
  jump(to, value);
}
extern "C" void __longjmp_chk(__jmp_buf_tag* to, int value) noexcept;
COIR_HOOK void __longjmp_chk(__jmp_buf_tag* to, int value) noexcept {
  jump(to, value);
}

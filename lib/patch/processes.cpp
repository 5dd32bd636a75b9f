// Child processes, and signals that are waited for.
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "patch/hook.hpp"
#include "posix/elsewhere.hpp"
#include "posix/output.hpp"
#include "posix/processes.hpp"
#include "posix/signals.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(processes)

COIR_HOOK pid_t waitpid(pid_t pid, int* status, int options) {
  return COIR_COOPERATIVE ? posix::wait4(pid, status, options, nullptr) : real.waitpid(pid, status, options);
}
COIR_HOOK pid_t wait(int* status) {
  return COIR_COOPERATIVE ? posix::wait4(-1, status, 0, nullptr) : real.wait(status);
}
// The headers call these two noexcept, though they are cancellation points.
COIR_NAMED_HOOK(COIR_HOOK, pid_t, wait3, (int* status, int options, rusage* usage), "wait3") {
  return COIR_COOPERATIVE ? posix::wait4(-1, status, options, usage) : real.wait3(status, options, usage);
}
COIR_NAMED_HOOK(COIR_HOOK, pid_t, wait4, (pid_t pid, int* status, int options, rusage* usage), "wait4") {
  return COIR_COOPERATIVE ? posix::wait4(pid, status, options, usage)
                          : real.wait4(pid, status, options, usage);
}
COIR_HOOK int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  return COIR_COOPERATIVE ? posix::waitid(type, id, info, options) : real.waitid(type, id, info, options);
}
// Whether the thread has fibers or not: others may.
COIR_HOOK __attribute__((noreturn)) void _exit(int status) {
  posix::end_process(status);
}
COIR_HOOK __attribute__((noreturn)) void _Exit(int status) noexcept {
  posix::end_process(status);
}
COIR_HOOK int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  return posix::execve(path, arguments, environment);
}
COIR_HOOK int execv(const char* path, char* const* arguments) noexcept {
  return posix::execve(path, arguments, environ);
}
COIR_HOOK int execvpe(const char* file, char* const* arguments, char* const* environment) noexcept {
  return posix::execvpe(file, arguments, environment);
}
COIR_HOOK int execvp(const char* file, char* const* arguments) noexcept {
  return posix::execvpe(file, arguments, environ);
}
COIR_HOOK int fexecve(int fd, char* const* arguments, char* const* environment) noexcept {
  return posix::fexecve(fd, arguments, environment);
}
COIR_HOOK int execveat(int directory, const char* path, char* const* arguments, char* const* environment,
                       int flags) noexcept {
  return posix::execveat(directory, path, arguments, environment, flags);
}

// The arguments, of which `first` is one, as an array on the caller's stack; `rest` is left behind the null
// that ends them.
#define COIR_ARGUMENTS(into, first, rest)                                                  \
  va_list rest;                                                                            \
  va_start(rest, first);                                                                   \
  size_t into##_count = 1;                                                                 \
  while (va_arg(rest, char*) != nullptr) ++into##_count;                                   \
  va_end(rest);                                                                            \
  auto** into = static_cast<char**>(__builtin_alloca((into##_count + 1) * sizeof(char*))); \
  into[0] = const_cast<char*>(first);                                                      \
  va_start(rest, first);                                                                   \
  for (size_t i = 1; i <= into##_count; ++i) into[i] = va_arg(rest, char*)

COIR_HOOK int execl(const char* path, const char* first, ...) noexcept {
  COIR_ARGUMENTS(arguments, first, rest);
  va_end(rest);
  return posix::execve(path, arguments, environ);
}
COIR_HOOK int execle(const char* path, const char* first, ...) noexcept {
  COIR_ARGUMENTS(arguments, first, rest);
  auto* const environment = va_arg(rest, char* const*);
  va_end(rest);
  return posix::execve(path, arguments, environment);
}
COIR_HOOK int execlp(const char* file, const char* first, ...) noexcept {
  COIR_ARGUMENTS(arguments, first, rest);
  va_end(rest);
  return posix::execvpe(file, arguments, environ);
}

COIR_HOOK int system(const char* command) {
  posix::shared_with_child();
  return COIR_COOPERATIVE ? posix::system(command) : real.system(command);
}
COIR_HOOK FILE* popen(const char* command, const char* mode) {
  posix::shared_with_child();
  return posix::popen(command, mode);
}
COIR_HOOK int pclose(FILE* f) {
  if (COIR_COOPERATIVE && f != nullptr) return posix::pclose(f);
  if (f != nullptr) posix::about_to_end(f);
  return real.pclose(f);
}

COIR_HOOK int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                          const posix_spawnattr_t* how, char* const* arguments, char* const* environment) {
  posix::shared_with_child();
  return real.posix_spawn(pid, path, actions, how, arguments, environment);
}
COIR_HOOK int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                           const posix_spawnattr_t* how, char* const* arguments, char* const* environment) {
  posix::shared_with_child();
  return real.posix_spawnp(pid, file, actions, how, arguments, environment);
}

// The other two return twice, or onto another stack: noted on the way to libc's own, by a jump. As
// shared_with_child: of two threads that count at once one is enough.
#if defined(__x86_64__)
#define COIR_COUNT_AND_JUMP(to)                                    \
  "  movq _ZN4coir7reactor13private_epochE@GOTPCREL(%rip), %r11\n" \
  "  addl $1, (%r11)\n"                                            \
  "  jmp *" to "@GOTPCREL(%rip)\n"
#else
#define COIR_COUNT_AND_JUMP(to)                                    \
  "  adrp x16, :got:_ZN4coir7reactor13private_epochE\n"            \
  "  ldr x16, [x16, :got_lo12:_ZN4coir7reactor13private_epochE]\n" \
  "  ldr w17, [x16]\n"                                             \
  "  add w17, w17, #1\n"                                           \
  "  str w17, [x16]\n"                                             \
  "  b " to "\n"
#endif
#define COIR_CHILD_HOOK(name, to)                                                                  \
  __asm__(                                                                                         \
      ".pushsection coir_hooks,\"ax\",@progbits\n"                                                 \
      ".p2align 4\n"                                                                               \
      ".globl " name                                                                               \
      "\n"                                                                                         \
      ".type " name ", @function\n" name ":\n" COIR_COUNT_AND_JUMP(to) ".size " name ", . - " name \
                                                                       "\n"                        \
                                                                       ".popsection\n");
COIR_CHILD_HOOK("vfork", "__vfork")
COIR_CHILD_HOOK("clone", "__clone")

COIR_HOOK int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* t) {
  return COIR_COOPERATIVE
             ? static_cast<int>(posix::answer(posix::wait_for_signal(set, info, t, "sigtimedwait")))
             : real.sigtimedwait(set, info, t);
}
COIR_HOOK int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  return COIR_COOPERATIVE
             ? static_cast<int>(posix::answer(posix::wait_for_signal(set, info, nullptr, "sigwaitinfo")))
             : real.sigwaitinfo(set, info);
}
COIR_HOOK int sigwait(const sigset_t* set, int* number) {
  if (!COIR_COOPERATIVE) return real.sigwait(set, number);
  long r;
  do r = posix::wait_for_signal(set, nullptr, nullptr, "sigwait");
  while (r == -EINTR && !posix::about_to_jump());
  if (r < 0) return static_cast<int>(-r);
  *number = static_cast<int>(r);
  return 0;
}

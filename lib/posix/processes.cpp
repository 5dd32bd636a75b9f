// Each wait asks without waiting first, so that what is reported, to whom, and in which order stays the
// kernel's to decide; in between it waits for a hint: a pidfd for one child, a helper thread that looks
// without taking (WNOWAIT) for any child. No SIGCHLD handler, no polling, but where stops and continues are
// wanted of one child, of which a pidfd does not tell.
#include "posix/processes.hpp"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "posix/close.hpp"
#include "posix/elsewhere.hpp"
#include "posix/patience.hpp"
#include "posix/signals.hpp"
#include "sys/own_fds.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"
#include "wait/landing.hpp"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace coir::posix {
namespace {

// 0, or -errno of the interruption.
long wait_for_pidfd(int fd, const char* name) noexcept {
  call c(fd, name);
  if (c.state == nullptr) return -EBADF;
  return wait_ready(c, direction::in, base::never, false);
}

// Waits until the one child may have something to tell.
long wait_for_child(pid_t pid, bool stops_too, recheck& again, const char* name) noexcept {
  scheduler& s = *scheduler::existing();
  if (!stops_too) {
    if (const int error = wait::interrupt_errno(*s.current())) return -error;
    const int fd = sys::adopt_fd(sys::raw(SYS_pidfd_open, pid, 0));
    if (fd >= 0) {
      const long r = wait_for_pidfd(fd, name);
      sys::disown_fd(fd);
      posix::close(fd);
      return r;
    }
  }
  return again.rest(s, name);
}

// A helper that waits until a child of some kind has something to tell, or none is left. There is one for
// all fibers that want to know, and it goes on without them: nobody could stop it.
struct look : offloaded {
  long type, id, options;
  look* other = nullptr;
  detail::wait_list waiting;  // its own lock is not used: all looks have one
};
detail::spin_lock looks_lock;
look* looks = nullptr;

const bool children_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
                                     looks_lock.unlock();
                                     looks = nullptr;  // the helpers stayed with the parent
                                   }) == 0;

long run_look(offloaded* self) noexcept {
  const auto* l = static_cast<look*>(self);
  siginfo_t info;
  while (sys::raw(SYS_waitid, l->type, l->id, sys::word(&info), l->options | WNOWAIT, 0) == -EINTR) {
  }
  return 0;
}

// Whoever waits for it looks again.
void end_look(look* l) noexcept {
  looks_lock.lock();
  look** at = &looks;
  while (*at != l) at = &(*at)->other;
  *at = l->other;
  wait::wake_all_locked(l->waiting);
  looks_lock.unlock();
  delete l;
}

look* find_look_locked(long type, long id, int options) noexcept {
  look* l = looks;
  while (l != nullptr && (l->type != type || l->id != id || l->options != options)) l = l->other;
  return l;
}

// Null if there is no memory. Nobody does it yet.
look* add_look_locked(long type, long id, int options) noexcept {
  auto* l = new (std::nothrow) look;
  if (l == nullptr) return nullptr;
  l->type = type;
  l->id = id;
  l->options = options;
  l->run = run_look;
  l->finished = [](offloaded* self) noexcept { end_look(static_cast<look*>(self)); };
  l->other = looks;
  looks = l;
  return l;
}

// Waits until a child of that kind may have something to tell.
long wait_for_children(long type, long id, int options, recheck& again, const char* name) noexcept {
  scheduler& s = *scheduler::existing();
  if (const int error = wait::interrupt_errno(*s.current())) return -error;
  // The helper is another thread, and has no children of its own.
  if ((options & __WNOTHREAD) != 0) return again.rest(s, name);
  if (s.alone()) {
    siginfo_t info;
    const wait::direct_call during(s, true);
    const long r = sys::raw(SYS_waitid, type, id, sys::word(&info), options | WNOWAIT, 0);
    return r == -EINTR ? r : 0;
  }
  wait::queued_waiter w(s);
  w.ended_by = wait::ending_handlers::without_restart;
  looks_lock.lock();
  look* l = find_look_locked(type, id, options);
  look* added = l == nullptr ? l = add_look_locked(type, id, options) : nullptr;
  if (l != nullptr) wait::enqueue_locked(l->waiting, w);
  looks_lock.unlock();
  // Not with the lock held: no second thread may appear inside a section that was entered without one.
  if (added != nullptr && !send_off(*added, true)) {
    looks_lock.lock();
    wait::dequeue_locked(added->waiting, w);
    looks_lock.unlock();
    end_look(added);  // others have come to it since
    l = nullptr;
  }
  if (l == nullptr) return again.rest(s, name);
  const wait::outcome o = wait::park(w, name);
  looks_lock.lock();
  if (w.queued) wait::dequeue_locked(l->waiting, w);
  looks_lock.unlock();
  return -wait::error_of(o, *s.current());
}

long wait4_answer(pid_t pid, int* status, int options, rusage* usage, const char* name) noexcept {
  const auto ask = [&](int extra) {
    return sys::raw(SYS_wait4, pid, sys::word(status), options | extra, sys::word(usage));
  };
  recheck again;
  for (;;) {
    const long r = ask(WNOHANG);
    if (r != 0 || (options & WNOHANG) != 0) return r;
    const int wanted = WEXITED | ((options & WUNTRACED) != 0 ? WSTOPPED : 0) | (options & WCONTINUED) |
                       (options & ~(WNOHANG | WUNTRACED | WCONTINUED));
    const long w = pid > 0     ? wait_for_child(pid, (options & (WUNTRACED | WCONTINUED)) != 0, again, name)
                   : pid == -1 ? wait_for_children(P_ALL, 0, wanted, again, name)
                               : wait_for_children(P_PGID, pid == 0 ? ::getpgrp() : -static_cast<long>(pid),
                                                   wanted, again, name);
    if (w < 0) return w;
  }
}

}  // namespace

pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept {
  return static_cast<pid_t>(answer(wait4_answer(pid, status, options, usage, "waitpid")));
}

int waitid(idtype_t type, id_t id, siginfo_t* info, int options) noexcept {
  siginfo_t own;
  siginfo_t* to = info != nullptr ? info : &own;
  recheck again;
  for (;;) {
    to->si_pid = 0;
    to->si_signo = 0;
    const long r = sys::raw(SYS_waitid, type, id, sys::word(to), options | WNOHANG, 0);
    if (r != 0 || to->si_pid != 0 || (options & WNOHANG) != 0) return static_cast<int>(answer(r));
    const bool stops = (options & (WSTOPPED | WCONTINUED)) != 0;
    if (static_cast<int>(type) == P_PIDFD &&
        (sys::raw(SYS_fcntl, static_cast<long>(id), F_GETFL) & O_NONBLOCK) != 0)
      return static_cast<int>(answer(-EAGAIN));
    const long w = type == P_PID ? wait_for_child(static_cast<pid_t>(id), stops, again, "waitid")
                   : static_cast<int>(type) == P_PIDFD && !stops
                       ? wait_for_pidfd(static_cast<int>(id), "waitid")
                       : wait_for_children(type, id, options, again, "waitid");
    if (w < 0) return static_cast<int>(answer(w));
  }
}

namespace {

// SIGINT and SIGQUIT are ignored while any call of system runs, in whatever thread or fiber.
struct ignored_signals {
  detail::spin_lock lock;
  unsigned calls = 0;
  struct sigaction interrupt, quit;

  void ignore() noexcept {
    lock.lock();
    if (calls++ == 0) {
      struct sigaction none = {};
      none.sa_handler = SIG_IGN;
      ::sigaction(SIGINT, &none, &interrupt);
      ::sigaction(SIGQUIT, &none, &quit);
    }
    lock.unlock();
  }
  void restore() noexcept {
    lock.lock();
    if (--calls == 0) {
      ::sigaction(SIGINT, &interrupt, nullptr);
      ::sigaction(SIGQUIT, &quit, nullptr);
    }
    lock.unlock();
  }
  // What the command is to have.
  sigset_t defaults() noexcept {
    sigset_t set;
    sigemptyset(&set);
    if (interrupt.sa_handler != SIG_IGN) sigaddset(&set, SIGINT);
    if (quit.sa_handler != SIG_IGN) sigaddset(&set, SIGQUIT);
    return set;
  }
};
ignored_signals while_in_system;

const bool signals_told_at_fork =
    ::pthread_atfork(nullptr, nullptr, [] { while_in_system.lock.unlock(); }) == 0;

int start_shell(pid_t& pid, const char* command) noexcept {
  sigset_t child, before;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &child, &before);
  posix_spawnattr_t how;
  ::posix_spawnattr_init(&how);
  const sigset_t defaults = while_in_system.defaults();
  ::posix_spawnattr_setsigdefault(&how, &defaults);
  ::posix_spawnattr_setsigmask(&how, &before);
  ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const char* const arguments[] = {"sh", "-c", command, nullptr};
  const int error =
      ::posix_spawn(&pid, "/bin/sh", nullptr, &how, const_cast<char* const*>(arguments), ::environ);
  ::posix_spawnattr_destroy(&how);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

}  // namespace

void shared_with_child() noexcept {
  reactor::private_epoch.fetch_add(1, std::memory_order_relaxed);
}

void end_process(int status) noexcept {
  // A handler that coir does not know of may have interrupted malloc, or coir itself.
  if (!sched::has_other_handlers()) sched::run_down_process();
  for (;;) sys::real._exit(status);
}

namespace {

template <class F>
int without_others(F exec) noexcept {
  const auto asked = sched::run_down_others();
  const int r = exec();
  const int error = errno;
  if (asked != nullptr) sched::exec_failed(*asked);
  errno = error;
  return r;
}

}  // namespace

int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  return without_others([&] { return sys::real.execve(path, arguments, environment); });
}
int execvpe(const char* file, char* const* arguments, char* const* environment) noexcept {
  return without_others([&] { return sys::real.execvpe(file, arguments, environment); });
}
int fexecve(int fd, char* const* arguments, char* const* environment) noexcept {
  return without_others([&] { return sys::real.fexecve(fd, arguments, environment); });
}
int execveat(int directory, const char* path, char* const* arguments, char* const* environment,
             int flags) noexcept {
  return without_others([&] { return sys::real.execveat(directory, path, arguments, environment, flags); });
}

int system(const char* command) noexcept {
  if (command == nullptr) return ::access("/bin/sh", X_OK) == 0 ? 1 : 0;
  if (const int error = wait::interrupt_errno(*scheduler::existing()->current()))
    return static_cast<int>(answer(-error));
  const int saved = errno;
  while_in_system.ignore();
  pid_t pid = -1;
  long result;
  int status = 127 << 8;  // what a shell that cannot be run would have ended with
  if (const int error = start_shell(pid, command); error != 0) {
    errno = error;
    result = 0;
  } else {
    do result = wait4_answer(pid, &status, 0, nullptr, "system");
    while (result == -EINTR && !about_to_jump());
    if (result == -ECANCELED || result == -ETIMEDOUT) {
      ::kill(pid, SIGKILL);
      while (sys::raw(SYS_wait4, pid, sys::word(&status), 0, 0) == -EINTR) {  // it is gone in no time
      }
    } else {
      errno = saved;
    }
  }
  while_in_system.restore();
  return result < 0 ? static_cast<int>(answer(result)) : status;
}

}  // namespace coir::posix

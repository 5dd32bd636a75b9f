#include "task/child.hpp"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <mutex>

#include "base/raw.hpp"
#include "task/reaper.hpp"
#include "task/watch.hpp"
#include "wait/forget.hpp"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace coir::task {

using base::raw;
using base::word;

namespace {

pid_t this_process() noexcept {
  return static_cast<pid_t>(raw(SYS_getpid));
}

exit_status status_of(const siginfo_t& info) noexcept {
  return info.si_code == CLD_EXITED ? exit_status::of_exit(info.si_status & 0xff)
                                    : exit_status::of_signal(info.si_status, info.si_code == CLD_DUMPED);
}

}  // namespace

long look_at_end(pid_t pid, int pidfd, siginfo_t& info) noexcept {
  const long r = pidfd < 0 ? -EINVAL : raw(SYS_waitid, P_PIDFD, pidfd, word(&info), WEXITED | WNOHANG, 0);
  if (r != -EINVAL) return r;
  return raw(SYS_waitid, P_PID, pid, word(&info), WEXITED | WNOHANG, 0);
}

child::child(pid_t pid, int pidfd) noexcept
    : pid_(pid), pidfd_(pidfd < 0 ? pidfd : wait::fresh(pidfd)), parent_(this_process()) {}

child::~child() {
  const bool ours = parent_ == this_process();
  if (ours && !poll() && leave_to_reaper(pid_, pidfd_)) return;
  if (pidfd_ >= 0) wait::close(pidfd_);
}

std::optional<exit_status> child::poll() noexcept {
  if (known_.load(std::memory_order_acquire)) return status_;  // pairs with poll_locked
  if (parent_ != this_process()) return exit_status();
  const std::scoped_lock held(lock_);
  return poll_locked();
}

const std::optional<exit_status>& child::poll_locked() noexcept {
  if (status_) return status_;
  siginfo_t info = {};
  const long r = look_at_end(pid_, pidfd_, info);
  if (r == -ECHILD)
    status_ = exit_status();
  else if (r == 0 && info.si_pid != 0)
    status_ = status_of(info);
  known_.store(status_.has_value(), std::memory_order_release);  // pairs with poll
  return status_;
}

std::optional<exit_status> child::wait(base::nanoseconds deadline) {
  const watched end[] = {{pidfd_, EPOLLIN}};
  for (bool in_time = true;;) {
    if (const auto s = poll(); s || !in_time) return s;
    in_time = wait_any(end, "subprocess", deadline);
  }
}

long child::signal(int number) noexcept {
  if (parent_ != this_process()) return -ESRCH;
  const std::scoped_lock held(lock_);
  if (poll_locked()) return -ESRCH;
  const long r = pidfd_ < 0 ? -ENOSYS : raw(SYS_pidfd_send_signal, pidfd_, number, 0, 0);
  return r == -ENOSYS ? raw(SYS_kill, pid_, number) : r;
}

}  // namespace coir::task

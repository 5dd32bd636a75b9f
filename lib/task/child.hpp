// A child process that coir started: the wait for its end, its status, signals to it.
//
// I1: while `status_` is empty nobody of coir's has taken the status, so the pidfd, or without one the
// number, is the child's, as far as nobody else takes it.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <optional>

#include "base/clock.hpp"
#include "coir/detail/threads.hpp"
#include "coir/exit_status.hpp"

namespace coir::task {

// waitid without waiting: 0 or -errno.
long look_at_end(pid_t pid, int pidfd, siginfo_t& info) noexcept;

class child {
 public:
  // Takes over the descriptor; -1: the kernel has none.
  child(pid_t pid, int pidfd) noexcept;
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  // One that has not ended is left to the reaper.
  ~child();

  pid_t pid() const noexcept { return pid_; }
  // Readable at its end. Negative: to be polled.
  int pidfd() const noexcept { return pidfd_; }

  // How it ended, if it has. In the child of a fork not known, unless it was before.
  std::optional<exit_status> poll() noexcept;
  // Empty at the deadline. Suspends; throws as wait_any.
  std::optional<exit_status> wait(base::nanoseconds deadline);
  // 0, -ESRCH if it has ended, or another -errno.
  long signal(int number) noexcept;

 private:
  const std::optional<exit_status>& poll_locked() noexcept;

  const pid_t pid_;
  const int pidfd_;
  const pid_t parent_;      // the process it is a child of: not this one, after a fork
  detail::spin_lock lock_;  // not after a fork: another thread may have had it
  std::optional<exit_status> status_;
  std::atomic<bool> known_{false};  // status_, which stays
};

}  // namespace coir::task

// A child process that coir started: the wait for its end, its status, signals to it.
//
// I1: while `status_` is empty nobody of coir's has taken the status, so the pidfd, or without one the
// number, is the child's, as far as nobody else takes it.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/clock.hpp"
#include "coir/detail/threads.hpp"
#include "coir/exit_status.hpp"

namespace coir::task {

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

  // How it ended, if it has.
  std::optional<exit_status> poll() noexcept;
  // Empty at the deadline. Suspends; throws as wait_any.
  std::optional<exit_status> wait(base::nanoseconds deadline);
  // 0, -ESRCH if it has ended, or another -errno.
  long signal(int number) noexcept;

 private:
  const pid_t pid_;
  const int pidfd_;
  const pid_t parent_;  // the process it is a child of: not this one, after a fork
  detail::spin_lock lock_;
  std::optional<exit_status> status_;
};

}  // namespace coir::task

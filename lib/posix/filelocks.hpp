// Locks on files, and waiting for signals; see sockets.hpp for what all twins share.
#pragma once

#include <fcntl.h>
#include <signal.h>

#include "base/clock.hpp"

namespace coir::posix {

int flock(int fd, int operation) noexcept;
// F_SETLKW and F_OFD_SETLKW of fcntl(2).
int lock_record(int fd, int command, struct flock* what) noexcept;
int lockf(int fd, int command, off_t size) noexcept;

// The signal's number, or -errno: -EAGAIN when `duration` has passed (null: never).
long wait_for_signal(const sigset_t* set, siginfo_t* info, const timespec* duration,
                     const char* name) noexcept;

}  // namespace coir::posix

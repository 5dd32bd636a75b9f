// Locks on files; see sockets.hpp for what all twins share.
#pragma once

#include <fcntl.h>

namespace coir::posix {

int flock(int fd, int operation) noexcept;
// F_SETLKW and F_OFD_SETLKW of fcntl(2).
int lock_record(int fd, int command, struct flock* what) noexcept;
int lockf(int fd, int command, off_t size) noexcept;

}  // namespace coir::posix

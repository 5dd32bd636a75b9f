// Nothing tells when a lock on a file is given up, so it is tried again, after 1 ms, 2 ms … 16 ms.
#include "posix/filelocks.hpp"

#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix/close.hpp"
#include "posix/patience.hpp"
#include "posix/peek.hpp"
#include "sys/raw.hpp"

namespace coir::posix {
namespace {

template <class Try>
long try_again(int fd, const char* name, Try attempt) noexcept {
  const call c(fd, name);
  recheck again;
  for (;;) {
    const long r = attempt();
    if (r != -EAGAIN) return r;
    if (const long rest = again.rest(c.s, name); rest < 0) return rest;
    if (c.state != nullptr && !still_open(c)) return -EBADF;
  }
}

// Others may move the position, or the end, while it is waited for: the lock is of where they are now. What
// the kernel would refuse stays as it is.
void count_from_start(int fd, struct flock& what) noexcept {
  struct stat st;
  off_t from = -1, start;
  if (what.l_whence == SEEK_CUR)
    from = sys::raw(SYS_lseek, fd, 0, SEEK_CUR);
  else if (what.l_whence == SEEK_END && ::fstat(fd, &st) == 0)
    from = st.st_size;
  if (from < 0 || __builtin_add_overflow(from, what.l_start, &start) || start < 0) return;
  what.l_whence = SEEK_SET;
  what.l_start = start;
}

}  // namespace

int flock(int fd, int operation) noexcept {
  if ((operation & LOCK_NB) != 0 || (operation & LOCK_UN) != 0)
    return static_cast<int>(answer(sys::raw(SYS_flock, fd, operation)));
  return static_cast<int>(
      answer(try_again(fd, "flock", [=] { return sys::raw(SYS_flock, fd, operation | LOCK_NB); })));
}

int lock_record(int fd, int command, struct flock* what) noexcept {
  const int now = command == F_OFD_SETLKW ? F_OFD_SETLK : F_SETLK;
  struct flock meant;
  if (!peek(sys::word(what), meant)) return static_cast<int>(answer(-EFAULT));
  count_from_start(fd, meant);
  return static_cast<int>(
      answer(try_again(fd, "fcntl lock", [&] { return sys::raw(SYS_fcntl, fd, now, sys::word(&meant)); })));
}

int lockf(int fd, int command, off_t size) noexcept {
  struct flock what = {};
  what.l_type = F_WRLCK;
  what.l_whence = SEEK_CUR;
  what.l_len = size;
  return command == F_LOCK ? lock_record(fd, F_SETLKW, &what) : -1;
}

}  // namespace coir::posix

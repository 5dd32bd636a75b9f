// Only a FIFO makes its opener wait, for the other side. It is opened without waiting, then
//
// to read    it counts as a reader, so a writer's open goes on. Data, or the end of a writer that came, is an
//            event; for one that is there and silent it looks after 1 ms, 2 ms … 16 ms.
// to write   there is no descriptor without a reader (ENXIO). It is tried again as often, and when a reader
//            of this process comes.
#include "posix/open.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "posix/close.hpp"
#include "posix/patience.hpp"
#include "posix/stream_state.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/lot.hpp"

namespace coir::posix {
namespace {

bool may_have_to_wait(int flags) noexcept {
  const int access = flags & O_ACCMODE, fresh = O_CREAT | O_EXCL;
  return (access == O_RDONLY || access == O_WRONLY) && (flags & (O_NONBLOCK | O_PATH | O_DIRECTORY)) == 0 &&
         (flags & fresh) != fresh;
}

// Writers wait here for a reader, by the FIFO's inode: one of this process need not be looked for.
char gates[64];

// The gate of a FIFO, null for other files.
const char* gate_of(int directory, const char* path, int how) noexcept {
  struct stat st;
  const long r = sys::raw(SYS_newfstatat, directory, sys::word(path), sys::word(&st), how);
  return r == 0 && S_ISFIFO(st.st_mode) ? &gates[st.st_ino % sizeof gates] : nullptr;
}

// The same if an open with these flags may have to wait there.
const char* gate_to_pass(int directory, const char* path, int flags) noexcept {
  if (!may_have_to_wait(flags)) return nullptr;
  const char* gate = gate_of(directory, path, (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0);
  return gate != nullptr && !in_vfork_child() ? gate : nullptr;
}

// 0, or -errno of the interruption.
long wait_at(const char* gate, recheck& again) noexcept {
  scheduler& s = *scheduler::existing();
  if (const int error = wait::interrupt_errno(*s.current())) return -error;
  wait::lot_waiter w(s);
  w.ended_by = wait::ending_handlers::without_restart;
  const wait::outcome o = wait::lot::park(gate, w, "open", again.next(s, base::never),
                                          wait::mode::interruptible, [] { return true; });
  return -wait::error_of(o, *s.current());
}

// Since the reader `fd` was opened. One that is there and has written nothing shows by tee(2): EAGAIN, where
// 0 would be the end. A pipe without a name, opened again by way of /proc, says so at once.
bool a_writer_came(int fd) noexcept {
  if (ready_now(fd, direction::in)) return true;
  int scratch[2];
  if (sys::raw(SYS_pipe2, sys::word(scratch), O_CLOEXEC | O_NONBLOCK) != 0) return false;
  const long r = sys::raw(SYS_tee, fd, scratch[1], 1, SPLICE_F_NONBLOCK);
  for (const int end : scratch) sys::raw(SYS_close, end);
  return r != 0;
}

long wait_for_writer(int fd) noexcept {
  call c(fd, "open");
  recheck again;
  while (!a_writer_came(fd)) {
    long r = -EPERM;
    if (c.state != nullptr) r = wait_ready(c, direction::in, again.next(c.s, base::never), false);
    if (r == -EPERM) r = again.rest(c.s, c.name);
    if (r < 0 && r != -EAGAIN) return r;
  }
  return 0;
}

// As if it had been opened with `flags` only.
void settle(int fd, int flags) noexcept {
  sys::raw(SYS_fcntl, fd, F_SETFL, sys::raw(SYS_fcntl, fd, F_GETFL) & ~O_NONBLOCK);
  if ((flags & O_CLOEXEC) == 0) sys::raw(SYS_fcntl, fd, F_SETFD, 0);
}

// A descriptor, -errno, or -EAGAIN if the path is to be looked at again.
long meet(int directory, const char* path, int flags, mode_t mode) noexcept {
  const long r = sys::raw(SYS_openat, directory, sys::word(path), flags | O_NONBLOCK | O_CLOEXEC, mode);
  if (r < 0) return r == -ENXIO ? -EAGAIN : r;
  const int fd = static_cast<int>(r);
  begins_anew(fd);
  const char* gate = gate_of(fd, "", AT_EMPTY_PATH);
  long met = gate != nullptr ? 0 : -EAGAIN;
  if (gate != nullptr && (flags & O_ACCMODE) == O_RDONLY) {
    if (wait::lot::anyone()) wait::lot::wake(gate, wait::lot::all);
    met = wait_for_writer(fd);
  }
  if (met == 0) {
    settle(fd, flags);
    return fd;
  }
  if (met == -EBADF) return -EAGAIN;  // closed by somebody who closes all there are
  posix::close(fd);
  return met;
}

// What libc opens a stream's file with; O_PATH, which never waits, for a mode that is none.
int flags_of(const char* mode) noexcept {
  int flags;
  switch (*mode) {
    case 'r':
      flags = O_RDONLY;
      break;
    case 'w':
      flags = O_WRONLY | O_CREAT | O_TRUNC;
      break;
    case 'a':
      flags = O_WRONLY | O_CREAT | O_APPEND;
      break;
    default:
      return O_PATH;
  }
  for (int i = 1; i < 7 && mode[i] != '\0'; ++i) {
    if (mode[i] == '+') flags = (flags & ~O_ACCMODE) | O_RDWR;
    if (mode[i] == 'x') flags |= O_EXCL;
    if (mode[i] == 'e') flags |= O_CLOEXEC;
  }
  return flags;
}

constexpr char nothing[] = "/dev/null";
constexpr mode_t stdio_mode = 0666;

// Puts `fd` in the place of the descriptor of a stream that libc has opened with the same mode.
void replace(FILE* f, int fd, int flags) noexcept {
  sys::raw(SYS_dup3, fd, ::fileno_unlocked(f), flags & O_CLOEXEC);
  posix::close(fd);
}

}  // namespace

int openat(int directory, const char* path, int flags, mode_t mode) noexcept {
  recheck again;
  while (const char* gate = gate_to_pass(directory, path, flags)) {
    const long r = meet(directory, path, flags, mode);
    if (r != -EAGAIN) return static_cast<int>(answer(r));
    if (const long w = wait_at(gate, again); w != 0) return static_cast<int>(answer(w));
  }
  const long r = sys::raw(SYS_openat, directory, sys::word(path), flags, mode);
  if (r >= 0) begins_anew(static_cast<int>(r));
  return static_cast<int>(answer(r));
}

FILE* fopen(const char* path, const char* mode) noexcept {
  const int flags = flags_of(mode);
  if (gate_to_pass(AT_FDCWD, path, flags) == nullptr) return sys::real.fopen(path, mode);
  FILE* f = sys::real.fopen(nothing, mode);
  if (f == nullptr) return nullptr;
  const int fd = posix::openat(AT_FDCWD, path, flags, stdio_mode);
  if (fd >= 0) {
    replace(f, fd, flags);
    return f;
  }
  const int error = errno;
  sys::real.fclose(f);
  errno = error;
  return nullptr;
}

FILE* freopen(const char* path, const char* mode, FILE* f) noexcept {
  const int flags = flags_of(mode), number = ::fileno_unlocked(f);
  // libc, which tells of no error here, would make the thread wait for what is left.
  if (const int error = stream::flush_last(f);
      error != 0 && error == wait::interrupt_errno(*scheduler::existing()->current())) {
    posix::forget(number);
    sys::real.freopen("", mode, f);  // fails, and closes the stream
    errno = error;
    return nullptr;
  }
  char own[32];  // without a path: the stream's own file
  ::snprintf(own, sizeof own, "/proc/self/fd/%d", number);
  const char* which = path != nullptr ? path : own;
  if (gate_to_pass(AT_FDCWD, which, flags) == nullptr) {
    posix::forget(number);
    return sys::real.freopen(path, mode, f);
  }
  const int fd = posix::openat(AT_FDCWD, which, flags, stdio_mode), error = errno;
  posix::forget(number);
  f = sys::real.freopen(fd >= 0 ? nothing : "", mode, f);  // the empty path: as libc's own that fails
  if (f != nullptr)
    replace(f, fd, flags);
  else if (fd >= 0)
    posix::close(fd);
  else
    errno = error;
  return f;
}

}  // namespace coir::posix

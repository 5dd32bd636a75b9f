// Descriptors that are closed, replaced or changed. These act on every thread: fibers elsewhere may wait for
// them.
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "patch/hook.hpp"
#include "posix/close.hpp"
#include "posix/filelocks.hpp"
#include "posix/output.hpp"

namespace posix = coir::posix;
using coir::sys::real;

COIR_HOOK int close(int fd) {
  return posix::close(fd);
}
COIR_HOOK int close_range(unsigned first, unsigned last, int flags) noexcept {
  return posix::close_range(first, last, flags);
}
COIR_HOOK void closefrom(int first) noexcept {
  posix::closefrom(first);
}
COIR_HOOK int dup2(int from, int to) noexcept {
  return posix::dup2(from, to);
}
COIR_HOOK int dup3(int from, int to, int flags) noexcept {
  return posix::dup3(from, to, flags);
}

COIR_HOOK int fclose(FILE* f) {
  if (COIR_COOPERATIVE_IN(stdio) && f != nullptr) return posix::fclose(f);
  if (f != nullptr) posix::about_to_end(f);
  return real.fclose(f);
}

COIR_HOOK int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  if (COIR_COOPERATIVE_IN(files) && (command == F_SETLKW || command == F_OFD_SETLKW))
    return posix::lock_record(fd, command, reinterpret_cast<struct flock*>(argument));
  return static_cast<int>(posix::note_control(fd, command, real.fcntl(fd, command, argument)));
}
COIR_HOOK int fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  return fcntl(fd, command, argument);
}
COIR_HOOK int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list rest;
  va_start(rest, request);
  const long argument = va_arg(rest, long);
  va_end(rest);
  const int r = real.ioctl(fd, request, argument);
  if (request == FIONBIO) posix::flags_changed(fd);
  return r;
}

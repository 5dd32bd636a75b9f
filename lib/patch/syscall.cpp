// syscall(2): what has a name of its own in libc is what it is by that name.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "patch/hook.hpp"
#include "posix/close.hpp"
#include "posix/descriptor.hpp"
#include "posix/filelocks.hpp"
#include "posix/files.hpp"
#include "posix/locks.hpp"
#include "posix/multiplex.hpp"
#include "posix/open.hpp"
#include "posix/processes.hpp"
#include "posix/sleep.hpp"
#include "posix/sockets.hpp"
#include "sys/raw.hpp"

namespace posix = coir::posix;
using coir::sys::raw;

namespace {

using arguments = long[6];

template <class T>
T* pointer(long word) noexcept {
  return reinterpret_cast<T*>(word);
}

// On a thread with fibers: the calls that wait. Results and errors are libc's, here and below.
bool waiting(long number, const arguments& a, long& result) {
  const int fd = static_cast<int>(a[0]), fourth = static_cast<int>(a[3]);
  const auto size = static_cast<size_t>(a[2]);
  switch (number) {
    case SYS_read:
      result = posix::read(fd, pointer<void>(a[1]), size);
      return true;
    case SYS_write:
      result = posix::write(fd, pointer<const void>(a[1]), size);
      return true;
    case SYS_recvfrom:
      result = posix::recvfrom(fd, pointer<void>(a[1]), size, fourth, pointer<sockaddr>(a[4]),
                               pointer<socklen_t>(a[5]));
      return true;
    case SYS_sendto:
      result = posix::sendto(fd, pointer<const void>(a[1]), size, fourth, pointer<const sockaddr>(a[4]),
                             static_cast<socklen_t>(a[5]));
      return true;
    case SYS_recvmsg:
      result = posix::recvmsg(fd, pointer<msghdr>(a[1]), static_cast<int>(a[2]));
      return true;
    case SYS_sendmsg:
      result = posix::sendmsg(fd, pointer<const msghdr>(a[1]), static_cast<int>(a[2]));
      return true;
    case SYS_connect:
      result = posix::connect(fd, pointer<const sockaddr>(a[1]), static_cast<socklen_t>(a[2]));
      return true;
    case SYS_accept:
      result = posix::accept4(fd, pointer<sockaddr>(a[1]), pointer<socklen_t>(a[2]), 0);
      return true;
    case SYS_accept4:
      result = posix::accept4(fd, pointer<sockaddr>(a[1]), pointer<socklen_t>(a[2]), fourth);
      return true;
    case SYS_openat:
      result =
          posix::openat(fd, pointer<const char>(a[1]), static_cast<int>(a[2]), static_cast<mode_t>(a[3]));
      return true;
#ifdef SYS_open
    case SYS_open:
      result = posix::openat(AT_FDCWD, pointer<const char>(a[0]), static_cast<int>(a[1]),
                             static_cast<mode_t>(a[2]));
      return true;
#endif
    case SYS_nanosleep:
      result = posix::nanosleep(pointer<const timespec>(a[0]), pointer<timespec>(a[1]));
      return true;
#ifdef SYS_poll
    case SYS_poll:
      result = poll(pointer<pollfd>(a[0]), static_cast<nfds_t>(a[1]), static_cast<int>(a[2]));
      return true;
#endif
    default:
      return false;
  }
}

// On every thread: what ends or changes descriptors is to be heard of before or after.
bool changing(long number, const arguments& a, long& result) noexcept {
  const int fd = static_cast<int>(a[0]), second = static_cast<int>(a[1]), third = static_cast<int>(a[2]);
  switch (number) {
    case SYS_close:
      result = posix::answer(posix::close_raw(fd));
      return true;
    case SYS_close_range:
      result = posix::close_range(static_cast<unsigned>(fd), static_cast<unsigned>(second), third);
      return true;
#ifdef SYS_dup2
    case SYS_dup2:
      result = posix::dup2(fd, second);
      return true;
#endif
    case SYS_dup3:
      result = posix::dup3(fd, second, third);
      return true;
    case SYS_fcntl:
      if (COIR_COOPERATIVE_IN(files) && (second == F_SETLKW || second == F_OFD_SETLKW)) {
        result = posix::lock_record(fd, second, pointer<struct flock>(a[2]));
        return true;
      }
      result = posix::answer(posix::note_control(fd, second, raw(number, a[0], a[1], a[2])));
      return true;
    case SYS_ioctl:
      result = posix::answer(raw(number, a[0], a[1], a[2]));
      if (static_cast<unsigned>(second) == FIONBIO) posix::flags_changed(fd);
      return true;
    case SYS_setsockopt:
      result = raw(number, a[0], a[1], a[2], a[3], a[4]);
      posix::note_option(fd, second, third, pointer<const void>(a[3]), result == 0);
      result = posix::answer(result);
      return true;
    default:
      return false;
  }
}

// On every thread: what has come of a call that makes descriptors, or hands them on.
void note(long number, const arguments& a, long result) noexcept {
  switch (number) {
    case SYS_socket:
    case SYS_accept:
    case SYS_accept4:
      posix::note_new_socket(static_cast<int>(result));
      break;
#ifdef SYS_pipe
    case SYS_pipe:
#endif
    case SYS_pipe2:
      for (int i = 0; i < 2; ++i) posix::begins_anew(pointer<const int>(a[0])[i]);
      break;
    case SYS_socketpair:
      for (int i = 0; i < 2; ++i) posix::begins_anew(pointer<const int>(a[3])[i]);
      break;
#ifdef SYS_open
    case SYS_open:
    case SYS_creat:
#endif
#ifdef SYS_epoll_create
    case SYS_epoll_create:
    case SYS_eventfd:
    case SYS_inotify_init:
    case SYS_signalfd:
#endif
    case SYS_openat:
    case SYS_openat2:
    case SYS_dup:
    case SYS_epoll_create1:
    case SYS_eventfd2:
    case SYS_inotify_init1:
    case SYS_signalfd4:
    case SYS_timerfd_create:
    case SYS_memfd_create:
    case SYS_pidfd_open:
    case SYS_pidfd_getfd:
    case SYS_mq_open:
    case SYS_fanotify_init:
    case SYS_perf_event_open:
    case SYS_userfaultfd:
    case SYS_io_uring_setup:
      posix::begins_anew(static_cast<int>(result));
      break;
    case SYS_recvmsg:
      posix::note_received(*pointer<msghdr>(a[1]));
      break;
    case SYS_recvmmsg:
      for (long i = 0; i < result; ++i) posix::note_received(pointer<mmsghdr>(a[1])[i].msg_hdr);
      break;
    case SYS_sendmsg:
      posix::note_passed(*pointer<const msghdr>(a[1]));
      break;
    case SYS_sendmmsg:
      for (long i = 0; i < result; ++i) posix::note_passed(pointer<const mmsghdr>(a[1])[i].msg_hdr);
      break;
    default:
      break;
  }
}

// What is made before the call: a child has the descriptors too.
void note_child(long number) noexcept {
#ifdef SYS_fork
  if (number == SYS_fork || number == SYS_vfork) posix::shared_with_child();
#endif
  if (number == SYS_clone || number == SYS_clone3) posix::shared_with_child();
}

}  // namespace

// As libc's does it: takes all six, however many there are. Where there are fewer the last ones are whatever
// lies on the caller's stack, and mean nothing to the call.
COIR_HOOK __attribute__((no_sanitize("address"))) long syscall(long number, ...) noexcept {
  long a[6];
  va_list rest;
  va_start(rest, number);
  for (long& argument : a) argument = va_arg(rest, long);
  va_end(rest);
  long result;
  if (number == SYS_futex) {
    if (!posix::futex(pointer<long>(a[0]), a[1], a[2], a[3], a[5], result))
      result = raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  } else if (COIR_COOPERATIVE_IN(io) && waiting(number, a, result)) {
    return result;
  } else if (changing(number, a, result)) {
    return result;
  } else {
    note_child(number);
    result = raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result >= 0) note(number, a, result);
  }
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

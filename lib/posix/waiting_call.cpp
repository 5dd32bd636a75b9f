#include "posix/waiting_call.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>

#include "sys/raw.hpp"

namespace coir::posix {
namespace {

// Whether the user lets calls on it wait, and it is not ready for this one.
bool not_ready(long fd, short events) noexcept {
  const long flags = sys::raw(SYS_fcntl, fd, F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0) return false;
  pollfd p = {static_cast<int>(fd), events, 0};
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 0;
}
bool nothing_to_read(long fd, long flags = 0) noexcept {
  return (flags & MSG_DONTWAIT) == 0 && not_ready(fd, POLLIN);
}
bool no_room(long fd, long flags = 0) noexcept {
  return (flags & MSG_DONTWAIT) == 0 && not_ready(fd, POLLOUT);
}

// Whether these calls, made without waiting, find nothing.
bool poll_finds_nothing(const long* a) noexcept {
  timespec none = {};
  pollfd few[64];
  const long count = std::min<long>(a[1], 64);
  std::copy_n(reinterpret_cast<const pollfd*>(a[0]), count, few);
  return sys::raw(SYS_ppoll, sys::word(few), count, sys::word(&none), 0, 8) == 0;
}
bool no_child_tells(const long* a) noexcept {
  const long pid = a[0];
  const long type = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
  siginfo_t info = {};
  return (a[2] & WNOHANG) == 0 &&
         sys::raw(SYS_waitid, type,
                  pid > 0    ? pid
                  : pid < -1 ? -pid
                             : 0,
                  sys::word(&info), WEXITED | WNOHANG | WNOWAIT, 0) == 0 &&
         info.si_pid == 0;
}

bool is_long(long duration) noexcept {
  const auto* t = reinterpret_cast<const timespec*>(duration);
  return t == nullptr || t->tv_sec != 0 || t->tv_nsec != 0;
}

bool is_remote(long fd) noexcept {
  int domain = 0;
  socklen_t size = sizeof domain;
  return sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, sys::word(&domain), sys::word(&size)) == 0 &&
         (domain == AF_INET || domain == AF_INET6);
}

bool connecting_waits(long fd) noexcept {
  const long flags = sys::raw(SYS_fcntl, fd, F_GETFL);
  int type = 0;
  socklen_t size = sizeof type;
  sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, sys::word(&type), sys::word(&size));
  return flags >= 0 && (flags & O_NONBLOCK) == 0 && type == SOCK_STREAM && is_remote(fd);
}

bool opening_waits(long folder, long path, long flags) noexcept {
  struct stat about = {};
  if ((flags & (O_NONBLOCK | O_PATH)) != 0 || (flags & O_ACCMODE) == O_RDWR) return false;
  return sys::raw(SYS_newfstatat, folder, path, sys::word(&about), 0) == 0 && S_ISFIFO(about.st_mode);
}

bool futex_waits(const long* a) noexcept {
  const long command = a[1] & FUTEX_CMD_MASK;
  return (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI) &&
         (command == FUTEX_LOCK_PI ||
          __atomic_load_n(reinterpret_cast<const int*>(a[0]), __ATOMIC_RELAXED) == static_cast<int>(a[2]));
}

}  // namespace

#define COIR_WAITS(name, condition) \
  case SYS_##name:                  \
    return (condition) ? #name : nullptr

const char* waiting_call(long number, const long* a) noexcept {
  switch (number) {
    COIR_WAITS(read, nothing_to_read(a[0]));
    COIR_WAITS(readv, nothing_to_read(a[0]));
    COIR_WAITS(recvfrom, nothing_to_read(a[0], a[3]));
    COIR_WAITS(recvmsg, nothing_to_read(a[0], a[2]));
    COIR_WAITS(recvmmsg, nothing_to_read(a[0], a[3]));
    COIR_WAITS(accept, nothing_to_read(a[0]));
    COIR_WAITS(accept4, nothing_to_read(a[0]));
    COIR_WAITS(write, no_room(a[0]));
    COIR_WAITS(writev, no_room(a[0]));
    COIR_WAITS(sendto, no_room(a[0], a[3]));
    COIR_WAITS(sendmsg, no_room(a[0], a[2]));
    COIR_WAITS(sendmmsg, no_room(a[0], a[3]));
    COIR_WAITS(sendfile, no_room(a[0]));
    COIR_WAITS(splice, (a[5] & SPLICE_F_NONBLOCK) == 0 && (nothing_to_read(a[0]) || no_room(a[2])));
    COIR_WAITS(tee, (a[3] & SPLICE_F_NONBLOCK) == 0 && (nothing_to_read(a[0]) || no_room(a[1])));
    COIR_WAITS(connect, connecting_waits(a[0]));
    COIR_WAITS(openat, opening_waits(a[0], a[1], a[2]));
    COIR_WAITS(poll, a[2] != 0 && poll_finds_nothing(a));
    COIR_WAITS(ppoll, is_long(a[2]) && poll_finds_nothing(a));
    COIR_WAITS(pselect6, is_long(a[4]));
    COIR_WAITS(epoll_wait, a[3] != 0 && not_ready(a[0], POLLIN));
    COIR_WAITS(epoll_pwait, a[3] != 0 && not_ready(a[0], POLLIN));
    COIR_WAITS(epoll_pwait2, is_long(a[3]) && not_ready(a[0], POLLIN));
    COIR_WAITS(nanosleep, true);
    COIR_WAITS(clock_nanosleep, true);
    COIR_WAITS(pause, true);
    COIR_WAITS(rt_sigsuspend, true);
    COIR_WAITS(rt_sigtimedwait, is_long(a[2]));
    COIR_WAITS(wait4, no_child_tells(a));
    COIR_WAITS(waitid, (a[3] & WNOHANG) == 0);
    COIR_WAITS(futex, futex_waits(a));
    COIR_WAITS(flock, (a[1] & (LOCK_NB | LOCK_UN)) == 0);
    COIR_WAITS(fcntl, a[1] == F_SETLKW || a[1] == F_OFD_SETLKW);
    COIR_WAITS(fsync, true);
    COIR_WAITS(fdatasync, true);
    COIR_WAITS(sync, true);
    COIR_WAITS(syncfs, true);
    COIR_WAITS(msgrcv, (a[4] & IPC_NOWAIT) == 0);
    COIR_WAITS(semop, true);
    COIR_WAITS(semtimedop, true);
    COIR_WAITS(mq_timedreceive, nothing_to_read(a[0]));
    COIR_WAITS(mq_timedsend, no_room(a[0]));
    default:
      return nullptr;
  }
}

}  // namespace coir::posix

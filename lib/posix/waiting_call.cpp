#include "posix/waiting_call.hpp"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/signal_bits.hpp"
#include "posix/peek.hpp"
#include "sys/raw.hpp"

// Of kernels newer than Debian 12's headers.
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

// What cannot be read is for the kernel to tell of, at once: such a call does not wait.

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

// --- time ---

bool is_long(long duration) noexcept {
  timespec t;
  return duration == 0 || (peek(duration, t) && (t.tv_sec != 0 || t.tv_nsec != 0));
}
bool is_ahead(long clock, long when) noexcept {
  timespec t, now = {};
  if (when == 0) return true;
  if (!peek(when, t)) return false;
  return sys::raw(SYS_clock_gettime, clock, sys::word(&now)) != 0 || t.tv_sec > now.tv_sec ||
         (t.tv_sec == now.tv_sec && t.tv_nsec > now.tv_nsec);
}

// --- whether these calls, made without waiting, find nothing ---

bool poll_finds_nothing(const long* a) noexcept {
  timespec none = {};
  pollfd few[64];
  const long count = std::min<long>(a[1], 64);
  if (count < 0 || !peek(a[0], few, static_cast<std::size_t>(count) * sizeof *few)) return false;
  return sys::raw(SYS_ppoll, sys::word(few), count, sys::word(&none), 0, 8) == 0;
}
bool select_finds_nothing(const long* a) noexcept {
  timespec none = {};
  fd_set copies[3];
  long sets[3] = {};
  if (a[0] < 0) return false;
  if (a[0] > FD_SETSIZE) return true;  // unknown
  for (int i = 0; i < 3; ++i) {
    if (a[i + 1] == 0) continue;
    const auto bytes = (static_cast<std::size_t>(a[0]) + 63) / 64 * 8;
    if (!peek(a[i + 1], &copies[i], bytes)) return false;
    sets[i] = sys::word(&copies[i]);
  }
  return sys::raw(SYS_pselect6, a[0], sets[0], sets[1], sets[2], sys::word(&none), 0) == 0;
}
bool no_child_tells(long type, long id, long options) noexcept {
  siginfo_t info = {};
  return (options & WNOHANG) == 0 &&
         sys::raw(SYS_waitid, type, id, sys::word(&info), options | WNOHANG | WNOWAIT, 0) == 0 &&
         info.si_pid == 0;
}
bool no_child_tells_wait4(const long* a) noexcept {
  const long pid = a[0], options = a[2] | WEXITED;  // WUNTRACED is WSTOPPED
  if (pid == -1) return no_child_tells(P_ALL, 0, options);
  return pid > 0 ? no_child_tells(P_PID, pid, options) : no_child_tells(P_PGID, -pid, options);
}
bool no_signal_pends(long set) noexcept {
  std::uint64_t pending = 0, wanted;
  sys::raw(SYS_rt_sigpending, sys::word(&pending), sizeof pending);
  return peek(set, wanted) && (pending & wanted) == 0;
}

// --- what the kernel keeps in a program's memory ---

bool futex_is(long address, long value) noexcept {
  std::uint32_t now;
  return peek(address, now) && now == static_cast<std::uint32_t>(value);
}
bool futex_waits(const long* a) noexcept {
  std::uint32_t owner;
  const long clock = (a[1] & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  switch (a[1] & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
      return futex_is(a[0], a[2]) && is_long(a[3]);
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
      return futex_is(a[0], a[2]) && is_ahead(clock, a[3]);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      return peek(a[0], owner) && (owner & FUTEX_TID_MASK) != 0;
    default:
      return false;
  }
}
// futex_waitv: struct futex_waitv {value, address, flags, reserved}.
bool futexes_wait(const long* a) noexcept {
  struct waiter {
    std::uint64_t value, address;
    std::uint32_t flags, reserved;
  };
  for (long i = 0; i < std::min<long>(a[1], 128); ++i) {
    waiter w;
    if (!peek(a[0] + i * static_cast<long>(sizeof w), w) ||
        !futex_is(static_cast<long>(w.address), static_cast<long>(w.value)))
      return false;
  }
  return is_ahead(a[4], a[3]);
}
// The context of io_setup is the address of its ring.
bool events_are_missing(const long* a) noexcept {
  struct ring {
    std::uint32_t id, count, head, tail, magic;
  };
  if (a[1] <= 0 || !is_long(a[4])) return false;
  ring r;
  if (!peek(a[0], r)) return false;
  if (r.magic != 0xa10a10a1 || r.count == 0) return true;
  return (r.tail + r.count - r.head) % r.count < a[1];
}
bool entering_waits(const long* a) noexcept {
  constexpr long get_events = 1, squeue_wait = 4, with_argument = 8;
  struct argument {
    std::uint64_t mask;
    std::uint32_t mask_size, pad;
    std::uint64_t timeout;
  };
  if ((a[3] & squeue_wait) != 0) return true;
  if ((a[3] & get_events) == 0 || a[2] == 0) return false;
  if ((a[3] & with_argument) != 0 && a[4] != 0) {
    argument more;
    if (!peek(a[4], more) || (more.timeout != 0 && !is_long(static_cast<long>(more.timeout)))) return false;
  }
  pollfd p = {static_cast<int>(a[0]), POLLIN, 0};
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 0;
}

// --- sockets, pipes, files ---

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
bool closing_waits(long fd) noexcept {
  linger how = {};
  socklen_t size = sizeof how;
  int unsent = 0;
  return sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, sys::word(&how), sys::word(&size)) == 0 &&
         how.l_onoff != 0 && how.l_linger > 0 && sys::raw(SYS_ioctl, fd, SIOCOUTQ, sys::word(&unsent)) == 0 &&
         unsent > 0;
}
bool mapping_waits(const long* a) noexcept {
  if ((a[3] & SPLICE_F_NONBLOCK) != 0) return false;
  return (sys::raw(SYS_fcntl, a[0], F_GETFL) & O_ACCMODE) == O_RDONLY ? nothing_to_read(a[0]) : no_room(a[0]);
}
bool opening_waits(long folder, long path, long flags) noexcept {
  struct stat about = {};
  if ((flags & (O_NONBLOCK | O_PATH)) != 0 || (flags & O_ACCMODE) == O_RDWR) return false;
  return sys::raw(SYS_newfstatat, folder, path, sys::word(&about), 0) == 0 && S_ISFIFO(about.st_mode);
}
// How openat2 begins.
long flags_of(long how) noexcept {
  long flags;
  return peek(how, flags) ? flags : O_PATH;
}
// A lock that is got by asking is the caller's, as it wanted: the call itself changes nothing then.
bool lock_is_held(const long* a) noexcept {
  return (a[1] & (LOCK_NB | LOCK_UN)) == 0 && sys::raw(SYS_flock, a[0], a[1] | LOCK_NB) == -EWOULDBLOCK;
}
bool range_is_held(const long* a) noexcept {
  if (a[1] != F_SETLKW && a[1] != F_OFD_SETLKW) return false;
  struct flock range;
  return peek(a[2], range) && range.l_type != F_UNLCK &&
         sys::raw(SYS_fcntl, a[0], a[1] == F_SETLKW ? F_GETLK : F_OFD_GETLK, sys::word(&range)) == 0 &&
         range.l_type != F_UNLCK;
}
bool controlling_waits(const long* a) noexcept {
  int unsent = 0;
  switch (a[1]) {
    case TCSBRKP:
      return true;  // a break takes its time
    case TCSBRK:
      if (a[2] == 0) return true;
      [[fallthrough]];
    case TCSETSW:
    case TCSETSF:
      return sys::raw(SYS_ioctl, a[0], TIOCOUTQ, sys::word(&unsent)) == 0 && unsent > 0;
    default:
      return false;
  }
}

// --- System V's queues and semaphores ---

bool queue_is(bool full, long queue, long size) noexcept {
  msqid_ds about = {};
  if (sys::raw(SYS_msgctl, queue, IPC_STAT, sys::word(&about)) != 0) return false;
  return full ? about.__msg_cbytes + static_cast<unsigned long>(size) > about.msg_qbytes
              : about.msg_qnum == 0;
}
// Whether a message is there that msgrcv would take: looked at one by one, where the kernel allows that.
bool message_is_missing(const long* a) noexcept {
  constexpr long copy = 040000, except = 020000;  // MSG_COPY, MSG_EXCEPT
  const long type = a[3];
  if ((a[4] & IPC_NOWAIT) != 0) return false;
  if (queue_is(false, a[0], 0)) return true;
  if (type == 0) return false;
  struct {
    long type;
    char text[2048];  // of a longer one nothing is known
  } m;
  for (long i = 0;; ++i) {
    const long r = sys::raw(SYS_msgrcv, a[0], sys::word(&m), sizeof m.text, i, copy | IPC_NOWAIT);
    if (r < 0) return r == -ENOMSG;
    if (type < 0 ? m.type <= -type : (m.type == type) == ((a[4] & except) == 0)) return false;
  }
}
bool semaphores_wait(const long* a) noexcept {
  for (long i = 0; i < std::min<long>(a[2], 500); ++i) {
    sembuf o;
    if (!peek(a[1] + i * static_cast<long>(sizeof o), o)) return false;
    if (o.sem_op > 0 || (o.sem_flg & IPC_NOWAIT) != 0) continue;
    const long value = sys::raw(SYS_semctl, a[0], o.sem_num, GETVAL, 0);
    if (o.sem_op == 0 ? value > 0 : value >= 0 && value < -o.sem_op) return true;
  }
  return false;
}

}  // namespace

#define COIR_WAITS(name, condition) \
  case SYS_##name:                  \
    return (condition) ? #name : nullptr

// All others never wait, or for a disk: tests/coverage/system_calls.txt, which a test holds against the
// kernel's tables.
const char* waiting_call(long number, const long* a) noexcept {
  switch (number) {
    COIR_WAITS(read, nothing_to_read(a[0]));
    COIR_WAITS(readv, nothing_to_read(a[0]));
    COIR_WAITS(preadv2, a[3] == -1 && (a[5] & RWF_NOWAIT) == 0 && nothing_to_read(a[0]));
    COIR_WAITS(recvfrom, nothing_to_read(a[0], a[3]));
    COIR_WAITS(recvmsg, nothing_to_read(a[0], a[2]));
    COIR_WAITS(recvmmsg, nothing_to_read(a[0], a[3]));
    COIR_WAITS(accept, nothing_to_read(a[0]));
    COIR_WAITS(accept4, nothing_to_read(a[0]));
    COIR_WAITS(write, no_room(a[0]));
    COIR_WAITS(writev, no_room(a[0]));
    COIR_WAITS(pwritev2, a[3] == -1 && (a[5] & RWF_NOWAIT) == 0 && no_room(a[0]));
    COIR_WAITS(sendto, no_room(a[0], a[3]));
    COIR_WAITS(sendmsg, no_room(a[0], a[2]));
    COIR_WAITS(sendmmsg, no_room(a[0], a[3]));
    COIR_WAITS(sendfile, no_room(a[0]));
    COIR_WAITS(splice, (a[5] & SPLICE_F_NONBLOCK) == 0 && (nothing_to_read(a[0]) || no_room(a[2])));
    COIR_WAITS(tee, (a[3] & SPLICE_F_NONBLOCK) == 0 && (nothing_to_read(a[0]) || no_room(a[1])));
    COIR_WAITS(vmsplice, mapping_waits(a));
    COIR_WAITS(connect, connecting_waits(a[0]));
    COIR_WAITS(close, closing_waits(a[0]));
    COIR_WAITS(dup3, a[0] != a[1] && closing_waits(a[1]));
    COIR_WAITS(openat, opening_waits(a[0], a[1], a[2]));
    COIR_WAITS(openat2, opening_waits(a[0], a[1], flags_of(a[2])));
    COIR_WAITS(ppoll, is_long(a[2]) && poll_finds_nothing(a));
    COIR_WAITS(pselect6, is_long(a[4]) && select_finds_nothing(a));
    COIR_WAITS(epoll_pwait, a[3] != 0 && not_ready(a[0], POLLIN));
    COIR_WAITS(epoll_pwait2, is_long(a[3]) && not_ready(a[0], POLLIN));
    COIR_WAITS(nanosleep, is_long(a[0]));
    COIR_WAITS(clock_nanosleep, (a[1] & TIMER_ABSTIME) != 0 ? is_ahead(a[0], a[2]) : is_long(a[2]));
    COIR_WAITS(rt_sigsuspend, true);
    COIR_WAITS(rt_sigtimedwait, is_long(a[2]) && no_signal_pends(a[0]));
    COIR_WAITS(wait4, no_child_tells_wait4(a));
    COIR_WAITS(waitid, no_child_tells(a[0], a[1], a[3]));
    COIR_WAITS(futex, futex_waits(a));
    COIR_WAITS(futex_waitv, futexes_wait(a));
    COIR_WAITS(futex_wait, futex_is(a[0], a[1]) && is_ahead(a[5], a[4]));
    COIR_WAITS(io_getevents, events_are_missing(a));
    COIR_WAITS(io_pgetevents, events_are_missing(a));
    COIR_WAITS(io_uring_enter, entering_waits(a));
    COIR_WAITS(flock, lock_is_held(a));
    COIR_WAITS(fcntl, range_is_held(a));
    COIR_WAITS(ioctl, controlling_waits(a));
    COIR_WAITS(fsync, true);
    COIR_WAITS(fdatasync, true);
    COIR_WAITS(sync, true);
    COIR_WAITS(syncfs, true);
    COIR_WAITS(msgrcv, message_is_missing(a));
    COIR_WAITS(msgsnd, (a[3] & IPC_NOWAIT) == 0 && queue_is(true, a[0], a[2]));
    COIR_WAITS(semop, semaphores_wait(a));
    COIR_WAITS(semtimedop, is_long(a[3]) && semaphores_wait(a));
    COIR_WAITS(mq_timedreceive, nothing_to_read(a[0]));
    COIR_WAITS(mq_timedsend, no_room(a[0]));
#if defined(__x86_64__)  // the newer architectures are without these
    COIR_WAITS(open, opening_waits(AT_FDCWD, a[0], a[1]));
    COIR_WAITS(dup2, a[0] != a[1] && closing_waits(a[1]));
    COIR_WAITS(creat, opening_waits(AT_FDCWD, a[0], O_WRONLY));
    COIR_WAITS(poll, a[2] != 0 && poll_finds_nothing(a));
    COIR_WAITS(select, (a[4] == 0 || is_long(a[4])) &&
                           select_finds_nothing(a));  // a timeval is zero as a timespec is
    COIR_WAITS(epoll_wait, a[3] != 0 && not_ready(a[0], POLLIN));
    COIR_WAITS(pause, true);
#endif
    default:
      return nullptr;
  }
}

}  // namespace coir::posix

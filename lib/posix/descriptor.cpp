#include "posix/descriptor.hpp"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <termios.h>

#include <algorithm>
#include <utility>

#include "posix/close.hpp"
#include "posix/limits.hpp"
#include "posix/sockets.hpp"
#include "sys/raw.hpp"
#include "wait/forget.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {
namespace {

template <class T>
bool socket_option(int fd, int name, T& value) noexcept {
  socklen_t size = sizeof value;
  return sys::raw(SYS_getsockopt, fd, SOL_SOCKET, name, sys::word(&value), sys::word(&size)) == 0;
}

fd_kind socket_kind(int fd) noexcept {
  int protocol = 0;
  if (!socket_option(fd, SO_PROTOCOL, protocol) || protocol != IPPROTO_TCP) return fd_kind::socket;
  // With kernel TLS a short read may end at a record, not at the end of what there is.
  char ulp[16] = {};
  socklen_t size = sizeof ulp;
  constexpr int tcp_ulp = 31;
  if (sys::raw(SYS_getsockopt, fd, IPPROTO_TCP, tcp_ulp, sys::word(ulp), sys::word(&size)) == 0 &&
      ulp[0] != '\0')
    return fd_kind::socket;
  return fd_kind::tcp;
}

// Files whose reads compute their answer and never wait for a disk.
bool is_quick(int fd) noexcept {
  struct statfs fs;
  if (sys::raw(SYS_fstatfs, fd, sys::word(&fs)) != 0) return false;
  constexpr long quick[] = {
      0x9fa0 /* proc */,     0x62656572 /* sysfs */, 0x01021994 /* tmpfs */,   0x63677270 /* cgroup2 */,
      0x27e0eb /* cgroup */, 0x858458f6 /* ramfs */, 0x64626720 /* debugfs */, 0x74726163 /* tracefs */};
  for (const long magic : quick)
    if (static_cast<long>(fs.f_type) == magic) return true;
  return false;
}

// /dev/null, zero, full and urandom (admin-guide/devices.txt).
bool is_memory(const struct stat& st) noexcept {
  const unsigned number = minor(st.st_rdev);
  return S_ISCHR(st.st_mode) && major(st.st_rdev) == 1 &&
         (number == 3 || number == 5 || number == 7 || number == 9);
}

fd_kind kind_of_file(int fd) noexcept {
  struct stat st;
  if (::fstat(fd, &st) != 0) return fd_kind::unknown;  // EBADF: the call itself will say so
  switch (st.st_mode & S_IFMT) {
    case S_IFSOCK:
      return socket_kind(fd);
    case S_IFIFO:
      return fd_kind::pipe;
    case S_IFREG:
    case S_IFDIR:
      return is_quick(fd) ? fd_kind::quick : fd_kind::file;
    case S_IFBLK:  // its name may lie in memory
      return fd_kind::file;
    default:
      return is_memory(st) ? fd_kind::quick : fd_kind::other;
  }
}

base::nanoseconds from_timeval(const timeval& t) noexcept {
  return base::from_timespec({t.tv_sec, t.tv_usec * 1000});
}

bool is_nonblocking(int fd) noexcept {
  const long flags = sys::raw(SYS_fcntl, fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void ask_flags(call& c) noexcept {
  fd_state& s = *c.state;
  const std::uint32_t epoch = reactor::flags_epoch.load(std::memory_order_acquire);  // before the questions
  s.nonblocking = is_nonblocking(c.fd);
  const fd_kind kind = kind_of(c);
  s.receive_timeout = s.send_timeout = 0;
  timeval t = {};
  if (kind == fd_kind::tcp || kind == fd_kind::socket) {
    if (socket_option(c.fd, SO_RCVTIMEO, t)) s.receive_timeout = from_timeval(t);
    if (socket_option(c.fd, SO_SNDTIMEO, t)) s.send_timeout = from_timeval(t);
    if (s.receive_timeout == 0 && was_over(c.fd, SO_RCVTIMEO)) s.receive_timeout = -1;
    if (s.send_timeout == 0 && was_over(c.fd, SO_SNDTIMEO)) s.send_timeout = -1;
  }
  s.flags_epoch = epoch;
}

// Whether no other process can change the description's flags: a socket of this process that it never shared.
bool is_private(int fd) noexcept {
  const reactor::fd_owner* owners = reactor::fd_owners();
  return owners[fd].made_here.load(std::memory_order_relaxed) ==
         reactor::private_epoch.load(std::memory_order_relaxed);
}

bool flags_known(const call& c) noexcept {
  return c.state->flags_epoch == reactor::flags_epoch.load(std::memory_order_relaxed) && is_private(c.fd);
}

// operation::holds: whether a call that began to wait for what is remembered of a socket may do so.
bool may_still_wait(const reactor::operation& op) noexcept {
  if (!is_private(op.fd)) return true;  // then all was asked
  // They may be other flags than when it began to wait: that goes on under the old ones.
  if (flags_changed_since(op.fd, op.flags_epoch)) return true;
  const bool in = (op.events & EPOLLIN) != 0;
  timeval t = {};
  return !is_nonblocking(op.fd) && socket_option(op.fd, in ? SO_RCVTIMEO : SO_SNDTIMEO, t) &&
         from_timeval(t) == (in ? op.state->receive_timeout : op.state->send_timeout);
}

}  // namespace

bool completes_io(call& c) noexcept {
  reactor::reactor* io = wait::reactor_of(c.s);
  return io != nullptr && io->completes_io();
}

fd_kind ask_kind(call& c) noexcept {
  return c.state->kind = kind_of_file(c.fd);
}

void ask_anew(const call& c) noexcept {
  c.state->begin_anew();
  if (reactor::fd_owner* owner = wait::owner_of(c.fd)) owner->made_here.store(0, std::memory_order_relaxed);
}

bool kind_holds(call& c) noexcept {
  struct stat st;
  const fd_kind kind = c.state->kind;
  if (kind == fd_kind::unknown || ::fstat(c.fd, &st) != 0) return true;
  const bool socket = kind == fd_kind::tcp || kind == fd_kind::socket;
  const bool file = kind == fd_kind::file || kind == fd_kind::quick;
  if (S_ISSOCK(st.st_mode) == socket && S_ISFIFO(st.st_mode) == (kind == fd_kind::pipe) &&
      (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || is_memory(st)) == file)
    return true;
  ask_anew(c);
  return false;
}

bool on_disk(int fd) noexcept {
  struct stat st;
  if (::fstat(fd, &st) != 0) return false;
  return S_ISBLK(st.st_mode) || ((S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) && !is_quick(fd));
}

bool drains_at_once(int fd) noexcept {
  termios settings;  // the kernel's are shorter
  if (sys::raw(SYS_ioctl, fd, TCGETS, sys::word(&settings)) != 0) return true;
  struct stat st;
  constexpr unsigned pseudo_first = 136, pseudo_last = 143;  // Documentation/admin-guide/devices.txt
  return ::fstat(fd, &st) == 0 && major(st.st_rdev) >= pseudo_first && major(st.st_rdev) <= pseudo_last;
}

int may_wait(call& c, direction d, base::nanoseconds& deadline) noexcept {
  const bool known = flags_known(c);
  if (!known) ask_flags(c);
  if (known && c.state->nonblocking && !is_nonblocking(c.fd)) {
    ask_anew(c);
    ask_flags(c);
  }
  if (c.state->nonblocking) return EAGAIN;
  const base::nanoseconds& limit = d == direction::in ? c.state->receive_timeout : c.state->send_timeout;
  if (known && limit < 0) ask_flags(c);
  if (limit < 0) return EAGAIN;
  deadline = limit == 0 ? base::never : base::add_saturated(c.s.now(), limit);
  return 0;
}

bool known_drained(call& c) noexcept {
  const fd_state& s = *c.state;
  if (!s.drained || s.nonblocking || s.receive_timeout < 0 || !flags_known(c)) return false;
  // With epoll an edge must be sure to come; io_uring looks for itself.
  const reactor::reactor* io = c.s.opened_io();
  return io != nullptr && (io->completes_io() || (s.registered & EPOLLIN) != 0);
}

void trust(call& c, reactor::operation& op, direction d) noexcept {
  op.events = static_cast<std::uint32_t>(d);
  op.suspect = flags_known(c);
  op.holds = may_still_wait;
  op.flags_epoch = c.state->flags_epoch;
}

long ask_again(call& c, direction d) noexcept {
  ask_anew(c);
  base::nanoseconds other = base::never;
  if (const int error = may_wait(c, d, other)) return -error;
  return still_open(c) ? 0 : -EBADF;
}

namespace {

long wait_event(call& c, direction d, base::nanoseconds deadline, bool exclusive) noexcept {
  const bool returns = (c.woken_for & static_cast<unsigned>(d)) != 0;
  c.took_all(d);
  // Events may come for ever that are not what the call needs.
  if (deadline != base::never && c.s.now() >= deadline) return -EAGAIN;
  if (wait::reactor_of(c.s) == nullptr) return -EPERM;
  wait::waiting_operation op;
  op.kind = reactor::op_kind::poll;
  op.fd = c.fd;
  op.state = c.state;
  op.exclusive = exclusive;
  op.returns = returns;
  trust(c, op, d);
  const long r = wait::perform(c.s, op, {c.name, deadline, c.ends_by_signal});
  if (__builtin_expect(r == -ENOSPC, 0)) return nap(c, deadline);
  if (__builtin_expect(r == -ESTALE, 0)) return ask_again(c, d);
  // Not checked yet: that nothing came in time is the kernel's to say.
  if (__builtin_expect(r == -EAGAIN, 0) && op.suspect && ready_now(c.fd, d)) return ask_again(c, d);
  if (r < 0) return r;
  __builtin_prefetch(c.state, 1);  // noted in after the system call that comes now
  if (__builtin_expect(!still_open(c), 0)) return -EBADF;
  if (exclusive) c.woken_for |= static_cast<std::uint8_t>(d);
  return 0;
}

// Whether nothing can be sent any more, which poll does not say of an AF_UNIX stream that is full.
bool ended_for_sending(int fd) noexcept {
  return is_stream(fd) && sys::raw(SYS_sendto, fd, 0, 0, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0) == -EPIPE;
}

}  // namespace

long wait_ready(call& c, direction d, base::nanoseconds deadline, bool exclusive) noexcept {
  if (d == direction::in || c.state->kind != fd_kind::socket || !is_unix(c.fd))
    return wait_event(c, d, deadline, exclusive);
  // No event tells who waits for room that its end, or the peer's, was shut down: it looks now and then.
  constexpr base::nanoseconds first = 8'000'000, longest = 512'000'000;
  for (base::nanoseconds step = first;; step = std::min(2 * step, longest)) {
    const base::nanoseconds until = base::add_saturated(c.s.now(), step);
    const long r = wait_event(c, d, std::min(deadline, until), exclusive);
    if (r != -EAGAIN || until >= deadline) return r;
    if (!still_open(c)) return -EBADF;
    if (!is_stream(c.fd) || ended_for_sending(c.fd)) return 0;
  }
}

bool ready_now(int fd, direction d) noexcept {
  pollfd p = {fd, static_cast<short>(d == direction::in ? POLLIN : POLLOUT), 0};
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 1;
}

long nap(call& c, base::nanoseconds deadline) noexcept {
  c.leave_to_others();
  if (const int error = wait::interrupt_errno(*c.s.current())) return -error;
  const base::nanoseconds now = c.s.now();
  if (now >= deadline) return -EAGAIN;
  wait::waiter w(c.s);
  w.ended_by =
      c.ends_by_signal ? wait::ending_handlers::all_and_stops : wait::ending_handlers::without_restart;
  const wait::outcome o = wait::park_until(w, c.name, std::min(deadline, now + 1'000'000));
  if (const int error = wait::error_of(o, *c.s.current())) return -error;
  return still_open(c) ? 0 : -EBADF;
}

bool still_open(const call& c) noexcept {
  return reactor::fd_owners()[c.fd].generation.load(std::memory_order_acquire) == c.generation;
}

bool was_shut_down(const call& c) noexcept {
  pollfd p = {c.fd, POLLRDHUP, 0};
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 1 && (p.revents & POLLRDHUP) != 0;
}

bool was_reset(call& c) noexcept {
  if (kind_of(c) != fd_kind::tcp) return false;
  pollfd p = {c.fd, 0, 0};
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 1 && (p.revents & POLLERR) != 0 &&
         (p.revents & POLLHUP) != 0;
}

// Who waits for what the number named before has heard of its end.
void call::pass_on() noexcept {
  const std::uint32_t events = std::exchange(woken_for, std::uint8_t{0});
  if (__builtin_expect(state->operations.empty(), 1) || state->generation != generation) return;
  s.opened_io()->nudge(*state, events);
}

long answer(long result) noexcept {
  if (__builtin_expect(result >= 0, 1)) return result;
  // Who tries again and again, whatever it says, is not to keep the thread for himself.
  if (scheduler* s = scheduler::existing()) s->charge();
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace coir::posix

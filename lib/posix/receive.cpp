// recv and its family: try without waiting, and on EAGAIN ask whether the user's call waits, and for how
// long.
//
// MSG_WAITALL and SO_RCVLOWAT ask for more than one byte: then receives are repeated until there is enough.
//
// A read that came back short has drained a TCP stream; the next one parks without trying (D14). With
// io_uring the park is the recv itself, unless the last one brought much: a completed recv has copied its
// data for all that were ready, and by the time each fiber gets to it, it has left the cache again.
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "posix/close.hpp"
#include "posix/descriptor.hpp"
#include "posix/peek.hpp"
#include "posix/sockets.hpp"
#include "posix/vector.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {
namespace {

// How long a call waits; asked from the kernel once it has to.
struct patience {
  bool asked = false;
  bool has_some = false;  // an earlier part of the call has received something
  bool no_room = false;   // for a single byte: TCP waits once, whatever comes
  base::nanoseconds deadline = base::never;
};

// What a receive does besides waiting: `try_now(extra_flags)` makes the call once, `fill(op)` describes it to
// io_uring.
template <class TryNow, class Fill>
long receive(call& c, int flags, std::size_t wanted, patience& p, TryNow try_now, Fill fill) noexcept {
  const bool plain = (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) == 0;
  const bool may_park = (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) == 0;
  // Also when interrupted: what need not wait goes through.
  bool waited = false;
  // And below a low mark bytes come without an event.
  bool try_first = !(may_park && plain && known_drained(c)) || wait::interrupt_pending(*c.s.current()) ||
                   low_marks.load(std::memory_order_relaxed);
  for (;;) {
    if (try_first) {
      if (p.has_some && (!still_open(c) || was_reset(c))) return 0;
      const long r = try_now(MSG_DONTWAIT);
      if (r != -EAGAIN) {
        if (r >= 0 && plain) note_read(c, r, wanted);
        if (r >= 0 && plain && c.state->drained) c.took_all(direction::in);
        if (!p.asked) charge(c);  // it did not have to wait
        return r;
      }
      // Urgent data of a stream is not waited for; datagrams do not know the flag.
      if (!may_park || ((flags & MSG_OOB) != 0 && is_stream(c.fd))) return r;
      if ((waited || c.state->hung) && was_shut_down(c)) {
        if (!p.asked && may_wait(c, direction::in, p.deadline) != 0) return r;
        return try_now(0);
      }
    }
    if (!p.asked) {
      must_be_socket(c);
      if (const int error = may_wait(c, direction::in, p.deadline)) return -error;
      p.asked = true;
      c.ends_by_signal = p.deadline != base::never;
    }
    if (completes_io(c) && !p.has_some && !p.no_room && !c.state->bulk) {
      wait::waiting_operation op;
      op.fd = c.fd;
      op.state = c.state;
      op.poll_first = true;
      trust(c, op, direction::in);
      fill(op);
      const long r = wait::perform(c.s, op, {c.name, p.deadline, c.ends_by_signal});
      if (__builtin_expect(r == -ESTALE, 0)) {
        if (const long w = ask_again(c, direction::in); w < 0) return w;
        try_first = true;
        continue;
      }
      if (r >= 0 && plain) note_read(c, r, wanted);
      if (r != -EOPNOTSUPP) return r;
    }
    c.state->drained = !c.state->hung;
    const long r = wait_ready(c, direction::in, p.deadline);
    if (r == -EPERM) return try_now(0);
    if (p.no_room && (r == 0 || r == -EAGAIN) && kind_of(c) == fd_kind::tcp) return 0;
    if (r < 0) return r;
    try_first = waited = true;
  }
}

bool valid(const timespec& t) noexcept {
  return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1'000'000'000;
}

// With how many bytes a call is content. More than one only for streams, and where the call may wait for
// them.
std::size_t enough(call& c, int flags) noexcept {
  const bool all = (flags & MSG_WAITALL) != 0;
  if (__builtin_expect(!all && !low_marks.load(std::memory_order_relaxed), 1)) return 1;
  if ((flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) != 0 || !is_stream(c.fd)) return 1;
  // An AF_UNIX stream does not wait for more to peek at.
  if ((flags & MSG_PEEK) != 0 && kind_of(c) != fd_kind::tcp) return 1;
  if (all) return ~std::size_t{0};
  int mark = 0;
  socklen_t size = sizeof mark;
  sys::raw(SYS_getsockopt, c.fd, SOL_SOCKET, SO_RCVLOWAT, sys::word(&mark), sys::word(&size));
  return mark > 1 ? static_cast<std::size_t>(mark) : 1;
}

// Calls `each(number)` for the descriptors that a message has brought.
template <class Each>
void for_descriptors(msghdr& m, Each each) noexcept {
  for (cmsghdr* h = CMSG_FIRSTHDR(&m); h != nullptr; h = CMSG_NXTHDR(&m, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      each(fd);
    }
  }
}

// `m` has been received. Where there was no room for them, a flag that credentials set as well tells of them.
bool brings_descriptors(const call& c, msghdr& m) noexcept {
  bool any = false;
  if ((m.msg_flags & MSG_CTRUNC) != 0) {
    int credentials = 0;
    socklen_t size = sizeof credentials;
    sys::raw(SYS_getsockopt, c.fd, SOL_SOCKET, SO_PASSCRED, sys::word(&credentials), sys::word(&size));
    if (credentials == 0) return true;
  }
  for_descriptors(m, [&](int) { any = true; });
  return any;
}

// Peeks until `least` bytes are there. No event tells of bytes behind those that are, so the clock has to.
long peek_enough(call& c, msghdr& m, int flags, std::size_t least, patience& p) noexcept {
  for (;;) {
    msghdr now = m;
    const long r = receive(
        c, flags, 0, p,
        [&](int extra) { return sys::raw(SYS_recvmsg, c.fd, sys::word(&now), flags | extra); },
        [](reactor::operation& op) { op.kind = reactor::op_kind::none; });
    pollfd ended = {c.fd, POLLRDHUP, 0};
    timespec none = {};
    const bool final = r <= 0 || static_cast<std::size_t>(r) >= least ||
                       sys::raw(SYS_ppoll, sys::word(&ended), 1, sys::word(&none), 0, 8) != 0;
    if (final || nap(c, p.deadline) < 0) {
      m = now;
      return r;
    }
  }
}

// Receives until there are `least` bytes, or all that `m` has room for; less at the end of the stream, at the
// deadline, and where descriptors came with it.
long receive_enough(call& c, msghdr& m, int flags, std::size_t least) noexcept {
  remaining_vector rest(m.msg_iov, m.msg_iovlen);
  const std::size_t wanted = rest.total();
  least = std::min(least, wanted);
  flags &= ~MSG_WAITALL;
  patience p;
  p.no_room = wanted == 0;
  if ((flags & MSG_PEEK) != 0) return peek_enough(c, m, flags, least, p);
  const msghdr original = m;
  std::size_t got = 0;
  for (;;) {
    msghdr now = original;
    now.msg_iov = rest.data();
    now.msg_iovlen = rest.count();
    const long r = receive(
        c, flags, wanted - got, p,
        [&](int extra) { return sys::raw(SYS_recvmsg, c.fd, sys::word(&now), flags | extra); },
        [&](reactor::operation& op) {
          op.kind = reactor::op_kind::recvmsg;
          op.message = &now;
          op.flags = flags;
        });
    if (r < 0 || (r == 0 && got > 0)) return got > 0 ? static_cast<long>(got) : r;
    got += static_cast<std::size_t>(r);
    m.msg_flags = now.msg_flags;
    m.msg_namelen = now.msg_namelen;
    m.msg_controllen = now.msg_controllen;
    if (r == 0 || got >= least || brings_descriptors(c, now) || !rest.skip_to(got))
      return static_cast<long>(got);
    p.has_some = true;
  }
}

// Of what may be no memory of the program's: the kernel says so.
bool has_no_room(const mmsghdr& m) noexcept {
  mmsghdr seen;
  iovec v;
  if (!peek(sys::word(&m), seen)) return false;
  for (std::size_t i = 0; i < seen.msg_hdr.msg_iovlen; ++i)
    if (!peek(sys::word(seen.msg_hdr.msg_iov + i), v) || v.iov_len != 0) return false;
  return true;
}

long receive_message(call& c, msghdr* message, int flags) noexcept {
  const auto attempt = [&](int extra) {
    return sys::raw(SYS_recvmsg, c.fd, sys::word(message), flags | extra);
  };
  // A pointer the kernel would refuse is for the kernel to refuse.
  if (message == nullptr || (message->msg_iov == nullptr && message->msg_iovlen != 0)) return attempt(0);
  if (const std::size_t least = enough(c, flags); __builtin_expect(least > 1, 0))
    return receive_enough(c, *message, flags, least);
  std::size_t wanted = 0;
  for (size_t i = 0; i < message->msg_iovlen; ++i) wanted += message->msg_iov[i].iov_len;
  patience p;
  p.no_room = wanted == 0;
  return receive(c, flags, wanted, p, attempt, [&](reactor::operation& op) {
    op.kind = reactor::op_kind::recvmsg;
    op.message = message;
    op.flags = flags & ~MSG_WAITALL;
  });
}

// The same for one buffer, where a call was made that knows no messages.
long receive_enough(call& c, void* buffer, std::size_t size, int flags, std::size_t least, sockaddr* from,
                    socklen_t* from_size) noexcept {
  iovec v = {buffer, size};
  msghdr m = {};
  m.msg_iov = &v;
  m.msg_iovlen = 1;
  if (from != nullptr && from_size != nullptr) {
    m.msg_name = from;
    m.msg_namelen = *from_size;
  }
  const long r = receive_enough(c, m, flags, least);
  if (r >= 0 && m.msg_name != nullptr) *from_size = m.msg_namelen;
  return r;
}

}  // namespace

std::atomic<bool> low_marks{false};

void note_received(msghdr& m) noexcept {
  if (__builtin_expect(m.msg_controllen != 0, 0)) for_descriptors(m, begins_anew);
}

long receive_bytes(call& c, void* buffer, size_t size, int flags) noexcept {
  if (const std::size_t least = enough(c, flags); __builtin_expect(least > 1 && size > 1, 0))
    return receive_enough(c, buffer, size, flags, least, nullptr, nullptr);
  patience p;
  p.no_room = size == 0;
  return receive(
      c, flags, size, p,
      [&](int extra) {
        return sys::raw(SYS_recvfrom, c.fd, sys::word(buffer), static_cast<long>(size), flags | extra, 0, 0);
      },
      [&](reactor::operation& op) {
        op.kind = reactor::op_kind::recv;
        op.buffer = buffer;
        op.size = size;
        op.flags = flags & ~MSG_WAITALL;
      });
}

ssize_t recv(int fd, void* buffer, size_t size, int flags) noexcept {
  call c(fd, "recv");
  if (c.state == nullptr) return sys::real.recv(fd, buffer, size, flags);
  return answer(receive_bytes(c, buffer, size, flags));
}

ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* from,
                 socklen_t* from_size) noexcept {
  if (from == nullptr) return posix::recv(fd, buffer, size, flags);
  call c(fd, "recvfrom");
  if (c.state == nullptr) return sys::real.recvfrom(fd, buffer, size, flags, from, from_size);
  if (const std::size_t least = enough(c, flags); __builtin_expect(least > 1 && size > 1, 0))
    return answer(receive_enough(c, buffer, size, flags, least, from, from_size));
  patience p;
  p.no_room = size == 0;
  // io_uring has no recvfrom: the wait is for readiness there too.
  return answer(receive(
      c, flags, size, p,
      [&](int extra) {
        return sys::raw(SYS_recvfrom, fd, sys::word(buffer), static_cast<long>(size), flags | extra,
                        sys::word(from), sys::word(from_size));
      },
      [](reactor::operation& op) { op.kind = reactor::op_kind::none; }));
}

ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  call c(fd, "recvmsg");
  if (c.state == nullptr) return sys::real.recvmsg(fd, message, flags);
  const long r = receive_message(c, message, flags);
  if (r >= 0) note_received(*message);
  return answer(r);
}

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) noexcept {
  call c(fd, "recvmmsg");
  if (c.state == nullptr) return sys::real.recvmmsg(fd, messages, count, flags, timeout);
  // What fails at once is for the kernel to say.
  if (count == 0 || messages == nullptr || (timeout != nullptr && !valid(*timeout)))
    return static_cast<int>(
        answer(sys::raw(SYS_recvmmsg, fd, sys::word(messages), count, flags, sys::word(timeout))));
  // As the kernel does it: the timeout is looked at after each message, and does not end the wait for one.
  const base::nanoseconds start = c.s.now();
  const base::nanoseconds limit = timeout == nullptr ? base::never : base::from_timespec(*timeout);
  const bool one_by_one = enough(c, flags & ~MSG_WAITFORONE) > 1;
  if (one_by_one) {  // an error that came before is the call's
    int error = 0;
    socklen_t size = sizeof error;
    sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, sys::word(&error), sys::word(&size));
    if (error != 0) return static_cast<int>(answer(-error));
  }
  unsigned got = 0;
  while (got < count) {
    const int now_flags =
        (flags & ~MSG_WAITFORONE) | (got > 0 && (flags & MSG_WAITFORONE) != 0 ? MSG_DONTWAIT : 0);
    long r;
    if (one_by_one) {
      r = receive_message(c, &messages[got].msg_hdr, now_flags);
      if (r >= 0) messages[got].msg_len = static_cast<unsigned>(r);
      if (r >= 0) r = 1;
    } else {
      patience p;
      p.no_room = kind_of(c) == fd_kind::tcp && has_no_room(messages[got]);
      r = receive(
          c, now_flags, 0, p,
          [&](int extra) {
            // A call that may wait is the kernel's from here on.
            const int own = extra != 0 ? now_flags | extra : now_flags | (flags & MSG_WAITFORONE);
            return sys::raw(SYS_recvmmsg, fd, sys::word(messages + got), count - got, own, 0);
          },
          [](reactor::operation& op) { op.kind = reactor::op_kind::none; });
      if (r == 0) messages[got].msg_len = 0, r = 1;  // there was no room, and it has waited
    }
    if (r < 0) return static_cast<int>(got > 0 ? static_cast<long>(got) : answer(r));
    for (long i = 0; i < r; ++i) note_received(messages[got + static_cast<unsigned>(i)].msg_hdr);
    got += static_cast<unsigned>(r);
    if (!still_open(c)) break;
    if (timeout != nullptr && c.s.now() - start >= limit) break;
  }
  if (timeout != nullptr)
    *timeout = base::to_timespec(std::max<base::nanoseconds>(limit - (c.s.now() - start), 0));
  return static_cast<int>(got);
}

}  // namespace coir::posix

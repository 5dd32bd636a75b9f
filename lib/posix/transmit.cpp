// send and its family: all bytes are sent unless an error, a timeout or cancellation comes between; then the
// partial count is returned, as a blocking send does.
#include <errno.h>
#include <sys/uio.h>

#include <algorithm>

#include "posix/descriptor.hpp"
#include "posix/files.hpp"
#include "posix/sockets.hpp"
#include "posix/vector.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"

namespace coir::posix {
namespace {

// What one call of the kernel takes at most.
constexpr std::size_t most_bytes = 0x7ffff000;

int take_error(int fd) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, sys::word(&error), sys::word(&size));
  return error;
}

// What a send that waited says when it finds the connection over. AF_UNIX tells who waits for room what ended
// it, and sends no signal; who asks anew hears EPIPE and gets one.
template <class TryNow>
long ended_connection(call& c, int flags, TryNow try_now) noexcept {
  if (!is_unix(c.fd)) return try_now(0, flags | MSG_DONTWAIT);  // once more, for the signal
  const int error = take_error(c.fd);
  return error != 0 ? -error : -EPIPE;
}

// Sends `total()` bytes by calls of `try_now(done, flags)`, which sends from byte `done` on without waiting.
template <class Total, class TryNow>
long transmit(call& c, int flags, Total total, TryNow try_now) noexcept {
  base::nanoseconds deadline = base::never;
  bool waited = false, over = false;
  const bool may_park = (flags & MSG_DONTWAIT) == 0;
  bool connects = (flags & MSG_FASTOPEN) != 0 || c.state->deferred;
  std::size_t done = 0;
  // What has been sent counts more than an error; the next call will see that.
  const auto result = [&](long error) noexcept { return done > 0 ? static_cast<long>(done) : error; };
  for (;;) {
    // The kernel sends no SIGPIPE to whom it can tell a partial count.
    long r = try_now(done, flags | MSG_DONTWAIT | (done > 0 || waited ? MSG_NOSIGNAL : 0));
    if (__builtin_expect(r == -EPIPE && waited, 0)) {
      if (done == 0)
        r = ended_connection(c, flags, try_now);
      else if (is_unix(c.fd))
        take_error(c.fd);  // as the kernel, though it tells the count
    }
    // It has begun to connect, perhaps with the first bytes: a call that may wait is over when that is.
    if (__builtin_expect(r == -EINPROGRESS || (connects && r >= 0), 0) && is_internet(c.fd) &&
        is_stream(c.fd)) {
      connects = c.state->deferred = false;
      flags &= ~MSG_FASTOPEN;
      if (!may_park || may_wait(c, direction::out, deadline) != 0) return r;
      if (r > 0) done = static_cast<std::size_t>(r);
      waited = true;
      c.ends_by_signal = deadline != base::never;
      const long end = finish_connect(c, deadline);
      if (end == -EINPROGRESS || end == -EINTR || end == -ECANCELED) return result(end);
      if (end < 0) return end;
      if (done >= total() && r >= 0) return result(r);
      continue;
    }
    if (r >= 0) {
      done += static_cast<std::size_t>(r);
      if (__builtin_expect(done >= std::min(total(), most_bytes) || r == 0, 1)) {
        if (!waited) charge(c);
        return result(r);
      }
      continue;
    }
    if (r != -EAGAIN || !may_park || over) return result(r);
    if (!waited) {
      must_be_socket(c);
      if (const int error = may_wait(c, direction::out, deadline)) return result(-error);
      waited = true;
      c.ends_by_signal = deadline != base::never;
    }
    // A datagram socket polls as writable while the receiver it sends to is full: then time must pass.
    r = c.state->kind == fd_kind::socket && ready_now(c.fd, direction::out)
            ? nap(c, deadline)
            : wait_ready(c, direction::out, deadline);
    // When SO_SNDTIMEO is over, the kernel looks for room once more: some may be there that poll calls too
    // little.
    over = r == -EAGAIN && kind_of(c) != fd_kind::tcp;
    if (r < 0 && !over) return result(r);
    if (done > 0 && was_reset(c)) return result(0);
  }
}

}  // namespace

// Descriptors passed to another process make their sockets shared: see accept4.
void note_passed(const msghdr& m) noexcept {
  for (cmsghdr* h = CMSG_FIRSTHDR(&m); h != nullptr; h = CMSG_NXTHDR(const_cast<msghdr*>(&m), h))
    if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
      reactor::private_epoch.fetch_add(1, std::memory_order_relaxed);
}

ssize_t send(int fd, const void* buffer, size_t size, int flags) noexcept {
  return posix::sendto(fd, buffer, size, flags, nullptr, 0);
}

ssize_t send_some(int fd, output_source& from) noexcept {
  call c(fd, "send");
  return answer(transmit(
      c, 0, [] { return std::size_t{1}; },
      [&](std::size_t, int now_flags) -> long {
        const iovec v = from.rest();
        if (v.iov_len == 0) return 0;
        const long r =
            sys::raw(SYS_sendto, fd, sys::word(v.iov_base), static_cast<long>(v.iov_len), now_flags, 0, 0);
        if (r > 0) from.written(static_cast<std::size_t>(r));
        return r;
      }));
}

long send_bytes(call& c, const void* buffer, size_t size, int flags, const sockaddr* to,
                socklen_t to_size) noexcept {
  const char* bytes = static_cast<const char*>(buffer);
  return transmit(
      c, flags, [&] { return size; },
      [&](std::size_t done, int now_flags) {
        return sys::raw(SYS_sendto, c.fd, sys::word(bytes + done), static_cast<long>(size - done), now_flags,
                        sys::word(to), to_size);
      });
}

ssize_t sendto(int fd, const void* buffer, size_t size, int flags, const sockaddr* to,
               socklen_t to_size) noexcept {
  call c(fd, "send");
  if (c.state == nullptr) return sys::real.sendto(fd, buffer, size, flags, to, to_size);
  return answer(send_bytes(c, buffer, size, flags, to, to_size));
}

namespace {

long send_message(call& c, const msghdr* message, int flags) noexcept {
  if (c.state == nullptr || message == nullptr) return sys::raw(SYS_sendmsg, c.fd, sys::word(message), flags);
  remaining_vector rest(message->msg_iov, message->msg_iovlen);
  msghdr now = *message;
  const long r = transmit(
      c, flags, [&] { return rest.total(); },
      [&](std::size_t done, int now_flags) -> long {
        if (done > 0) {
          if (!rest.skip_to(done)) return -ENOMEM;
          now.msg_control = nullptr;  // ancillary data goes with the first byte
          now.msg_controllen = 0;
        }
        now.msg_iov = rest.data();
        now.msg_iovlen = rest.count();
        return sys::raw(SYS_sendmsg, c.fd, sys::word(&now), now_flags);
      });
  if (r >= 0) note_passed(*message);
  return r;
}

}  // namespace

ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  call c(fd, "sendmsg");
  return answer(send_message(c, message, flags));
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  if (count == 0 || messages == nullptr)
    return static_cast<int>(answer(sys::raw(SYS_sendmmsg, fd, sys::word(messages), count, flags)));
  call c(fd, "sendmsg");
  unsigned sent = 0;
  for (; sent < count; ++sent) {
    // Between two of them others may have run.
    const long r = sent > 0 && c.state != nullptr && !still_open(c)
                       ? -EBADF
                       : send_message(c, &messages[sent].msg_hdr, flags);
    if (r < 0) return static_cast<int>(sent > 0 ? static_cast<long>(sent) : answer(r));
    messages[sent].msg_len = static_cast<unsigned>(r);
    c.leave_to_others();
  }
  return static_cast<int>(sent);
}

}  // namespace coir::posix

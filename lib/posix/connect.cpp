// connect and accept: the two calls that a blocking socket cannot be asked to make without waiting (there is
// no flag).
//
// io_uring makes both as operations. With epoll, connect borrows O_NONBLOCK for the one system call that
// starts the handshake; a listener is shared with other processes too often for that (a blocking accept
// elsewhere would get EAGAIN), so where it may be shared the accept itself is made by a helper thread once
// the listener is ready: if another process took the connection meanwhile, the helper waits, not the fibers.
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "posix/close.hpp"
#include "posix/descriptor.hpp"
#include "posix/offload.hpp"
#include "posix/sockets.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"

namespace coir::posix {
namespace {

template <class T>
bool option(int fd, int name, T& value) noexcept {
  socklen_t size = sizeof value;
  return sys::raw(SYS_getsockopt, fd, SOL_SOCKET, name, sys::word(&value), sys::word(&size)) == 0;
}

// The kernel tells an internet socket in the next connect only that it is connected or that it failed. This
// is that connect; it does not wait.
void settle_failure(int fd) noexcept {
  const sockaddr nowhere = {AF_UNSPEC, {}};
  if (is_internet(fd)) sys::raw(SYS_connect, fd, sys::word(&nowhere), sizeof nowhere);
}

bool has_peer(int fd, sockaddr_storage& peer, socklen_t& size) noexcept {
  size = sizeof peer;
  return sys::raw(SYS_getpeername, fd, sys::word(&peer), sys::word(&size)) == 0;
}

// TCP_FASTOPEN_CONNECT: connect has done nothing but promise that the first send will.
void note_deferred(call& c) noexcept {
  sockaddr_storage peer;
  socklen_t size;
  c.state->deferred = is_internet(c.fd) && !has_peer(c.fd, peer, size);
}

long connect_by_flag(call& c, long flags, const sockaddr* to, socklen_t size,
                     base::nanoseconds deadline) noexcept {
  for (;;) {
    sys::raw(SYS_fcntl, c.fd, F_SETFL, flags | O_NONBLOCK);
    const long r = sys::raw(SYS_connect, c.fd, sys::word(to), size);
    sys::raw(SYS_fcntl, c.fd, F_SETFL, flags);
    if (r == -EINPROGRESS || r == -EALREADY) return finish_connect(c, deadline);
    if (r != -EAGAIN || is_internet(c.fd)) return r;
    // AF_UNIX with a full backlog: no event tells of room in it.
    const long w = nap(c, deadline);
    if (w < 0) return w;
  }
}

long connect_by_operation(call& c, const sockaddr* to, socklen_t size, base::nanoseconds deadline) noexcept {
  wait::waiting_operation op;
  op.kind = reactor::op_kind::connect;
  op.fd = c.fd;
  op.state = c.state;
  op.buffer = const_cast<sockaddr*>(to);
  op.size = size;
  const long r = wait::perform(c.s, op, {c.name, deadline, c.ends_by_signal});
  // io_uring does not join a connection in progress, as a blocking connect does.
  if (r == -EALREADY) return finish_connect(c, deadline);
  if (r == -EAGAIN && is_internet(c.fd)) return -EINPROGRESS;
  if (r == -ECONNREFUSED || r == -ECONNRESET || r == -EHOSTUNREACH || r == -ENETUNREACH) settle_failure(c.fd);
  return r;
}

// Whether an accept right after the listener was seen ready cannot wait: nobody else can have taken the
// connection.
bool surely_private(int fd) noexcept {
  const reactor::fd_owner* owners = reactor::fd_owners();
  return detail::single_threaded() && owners != nullptr && fd >= 0 && fd < reactor::most_descriptors &&
         owners[fd].made_here.load(std::memory_order_relaxed) ==
             reactor::private_epoch.load(std::memory_order_relaxed);
}

long accept_when_ready(call& c, sockaddr* from, socklen_t* from_size, int flags,
                       base::nanoseconds deadline) noexcept {
  const auto plain = [&]() -> long {
    return sys::raw(SYS_accept4, c.fd, sys::word(from), sys::word(from_size), flags);
  };
  for (;;) {
    int listening = 0;
    // What is no listener fails at once; let the kernel say how.
    if (!option(c.fd, SO_ACCEPTCONN, listening) || listening == 0) return plain();
    struct {
      int fd;
      short events, revents;
    } p = {c.fd, 1 /* POLLIN */, 0};
    timespec none = {};
    if (sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 1)
      return surely_private(c.fd) ? plain() : offload_call(c.s, c.name, plain, true);
    const long r = wait_ready(c, direction::in, deadline);
    if (r < 0) return r;
  }
}

// A new number starts anew whatever coir remembers of it: its former owner may have been closed behind our
// back.
long fresh(long fd) noexcept {
  if (fd >= 0) note_new_socket(static_cast<int>(fd));
  return fd;
}

}  // namespace

std::atomic<bool> late_connects{false};

bool is_internet(int fd) noexcept {
  int domain = 0;
  return option(fd, SO_DOMAIN, domain) && (domain == AF_INET || domain == AF_INET6);
}

bool is_unix(int fd) noexcept {
  int domain = 0;
  return option(fd, SO_DOMAIN, domain) && domain == AF_UNIX;
}

bool is_stream(int fd) noexcept {
  int type = 0;
  return option(fd, SO_TYPE, type) && type == SOCK_STREAM;
}

long finish_connect(call& c, base::nanoseconds deadline) noexcept {
  do {
    const long r = wait_ready(c, direction::out, deadline);
    if (r == -EAGAIN) return -EINPROGRESS;  // SO_SNDTIMEO, as the kernel says it
    if (r < 0) return r;
  } while (!ready_now(c.fd, direction::out));
  sockaddr_storage peer;
  socklen_t size;
  if (has_peer(c.fd, peer, size)) {
    if (is_internet(c.fd)) sys::raw(SYS_connect, c.fd, sys::word(&peer), size);
    return 0;
  }
  int error = 0;
  if (!option(c.fd, SO_ERROR, error)) return -EBADF;
  settle_failure(c.fd);
  return error != 0 ? -error : -ECONNABORTED;
}

int connect(int fd, const sockaddr* to, socklen_t to_size) noexcept {
  scheduler::existing()->charge();
  call c(fd, "connect");
  if (c.state == nullptr) return sys::real.connect(fd, to, to_size);
  const long flags = sys::raw(SYS_fcntl, fd, F_GETFL);
  int type = 0;
  base::nanoseconds deadline = base::never;
  const bool waits = flags >= 0 && (flags & O_NONBLOCK) == 0 && option(fd, SO_TYPE, type) &&
                     type != SOCK_DGRAM && may_wait(c, direction::out, deadline) == 0;
  if (!waits) return static_cast<int>(answer(sys::raw(SYS_connect, fd, sys::word(to), to_size)));
  c.ends_by_signal = deadline != base::never;
  const long r = completes_io(c) ? connect_by_operation(c, to, to_size, deadline)
                                 : connect_by_flag(c, flags, to, to_size, deadline);
  if (r == 0 && late_connects.load(std::memory_order_relaxed)) note_deferred(c);
  return static_cast<int>(answer(r));
}

int accept4(int fd, sockaddr* from, socklen_t* from_size, int flags) noexcept {
  scheduler::existing()->charge();
  call c(fd, "accept");
  if (c.state == nullptr) return sys::real.accept4(fd, from, from_size, flags);
  base::nanoseconds deadline = base::never;
  if (may_wait(c, direction::in, deadline) != 0)
    return static_cast<int>(
        answer(fresh(sys::raw(SYS_accept4, fd, sys::word(from), sys::word(from_size), flags))));
  c.ends_by_signal = deadline != base::never;
  if (!completes_io(c))
    return static_cast<int>(answer(fresh(accept_when_ready(c, from, from_size, flags, deadline))));
  long r;
  do {
    wait::waiting_operation op;
    op.kind = reactor::op_kind::accept;
    op.fd = fd;
    op.state = c.state;
    op.address = from;
    op.address_size = from_size;
    op.flags = flags;
    trust(c, op, direction::in);
    r = wait::perform(c.s, op, {c.name, deadline, c.ends_by_signal});
  } while (__builtin_expect(r == -ESTALE, 0) && (r = ask_again(c, direction::in)) == 0);
  return static_cast<int>(answer(fresh(r)));
}

void note_new_socket(int fd) noexcept {
  reactor::fd_owner* owners = reactor::fd_owners();
  if (owners == nullptr || fd < 0 || fd >= reactor::most_descriptors) return;
  reactor::fd_owner& o = owners[fd];
  if (__builtin_expect(o.users.load(std::memory_order_relaxed) != 0, 0)) {
    if (in_vfork_child()) return;
    forget(fd);
  }
  o.made_here.store(reactor::private_epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

}  // namespace coir::posix

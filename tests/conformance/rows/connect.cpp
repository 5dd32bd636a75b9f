// connect, as it ends in all its ways.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

const sockaddr* as_address(const sockaddr_in& a) {
  return reinterpret_cast<const sockaddr*>(&a);
}
const sockaddr* as_address(const sockaddr_storage& a) {
  return reinterpret_cast<const sockaddr*>(&a);
}

descriptor unix_socket(int type = SOCK_STREAM) {
  return descriptor(COIR_MUST(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)));
}

int pending_error(int fd) {
  int error = -1;
  socklen_t size = sizeof error;
  COIR_MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
  return error;
}

// A unix listener whose backlog is full.
struct full_unix_listener {
  scratch_path path{"listener"};
  socklen_t size;
  sockaddr_storage address;
  descriptor fd, first;

  explicit full_unix_listener(int type = SOCK_STREAM)
      : address(path.unix_address(size)), fd(unix_socket(type)), first(unix_socket(type)) {
    COIR_MUST(bind(fd, as_address(address), size));
    COIR_MUST(listen(fd, 0));
    COIR_MUST(connect(first, as_address(address), size));
  }
};

}  // namespace

COIR_ROW("connect: succeeds on TCP, again says EISCONN") {
  const listener l;
  const descriptor from = tcp_socket();
  const stopwatch since;
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  o.took_no_time(since);
  o.say("pending error %d", pending_error(from));
}

COIR_ROW("connect: the first bytes follow at once") {
  const listener l;
  flow server("server", [&](log& s) {
    const descriptor to(accept(l.fd, nullptr, nullptr));
    char data[8];
    COIR_OBSERVE(s, read(to, data, sizeof data));
    COIR_OBSERVE(s, write(to, "pong", 4));
  });
  settle();
  const descriptor from = tcp_socket();
  char data[8];
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  COIR_OBSERVE(o, write(from, "ping", 4));
  COIR_OBSERVE(o, read(from, data, sizeof data));
}

COIR_ROW("connect: refused says ECONNREFUSED, also the second time") {
  const sockaddr_in address = nobody();
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, as_address(address), sizeof address));
  o.say("pending error %d", pending_error(from));
  COIR_OBSERVE(o, connect(from, as_address(address), sizeof address));
  char data[8];
  COIR_OBSERVE(o, recv(from, data, sizeof data, 0));
  COIR_OBSERVE(o, send(from, data, sizeof data, MSG_NOSIGNAL));
}

COIR_ROW("connect: after a refusal the same socket connects elsewhere") {
  const sockaddr_in wrong = nobody();
  const listener l;
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, as_address(wrong), sizeof wrong));
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
}

COIR_ROW("connect: a unix path that is missing says ENOENT, one where nobody listens ECONNREFUSED") {
  const scratch_path path("socket");
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  const descriptor from = unix_socket();
  COIR_OBSERVE(o, connect(from, as_address(address), size));
  const descriptor bound = unix_socket();
  COIR_OBSERVE(o, bind(bound, as_address(address), size));
  COIR_OBSERVE(o, connect(from, as_address(address), size));
  const descriptor other = unix_socket(SOCK_DGRAM);
  COIR_OBSERVE(o, connect(other, as_address(address), size));
}

COIR_ROW("connect: succeeds on unix sockets of each type") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    const scratch_path path("socket");
    socklen_t size;
    const sockaddr_storage address = path.unix_address(size);
    const descriptor l = unix_socket(type), from = unix_socket(type);
    COIR_OBSERVE(o, bind(l, as_address(address), size));
    if (type != SOCK_DGRAM) COIR_OBSERVE(o, listen(l, 4));
    COIR_OBSERVE(o, connect(from, as_address(address), size));
    COIR_OBSERVE(o, connect(from, as_address(address), size));
    COIR_OBSERVE(o, send(from, "hello", 5, 0));
    const descriptor to(type == SOCK_DGRAM ? COIR_MUST(dup(l)) : COIR_MUST(accept(l, nullptr, nullptr)));
    char data[8];
    COIR_OBSERVE(o, recv(to, data, sizeof data, 0));
  }
}

COIR_ROW("connect: a full unix backlog makes it wait until someone accepts") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const full_unix_listener full(type);
    const descriptor second = unix_socket(type);
    flow client("client", [&](log& c) {
      COIR_OBSERVE(c, connect(second, as_address(full.address), full.size));
      COIR_OBSERVE(c, send(second, "hello", 5, 0));
    });
    usleep(50'000);
    o.say("the client %s", client.state());
    const descriptor a(accept(full.fd, nullptr, nullptr));
    const descriptor b(accept(full.fd, nullptr, nullptr));
    char data[8];
    COIR_OBSERVE(o, recv(b, data, sizeof data, 0));
  }
}

COIR_ROW("connect: a non-blocking one to a full unix backlog says EAGAIN") {
  const full_unix_listener full;
  const descriptor second = unix_socket();
  set_nonblocking(second, true);
  const stopwatch since;
  COIR_OBSERVE(o, connect(second, as_address(full.address), full.size));
  o.took_no_time(since);
}

COIR_ROW("connect: a full TCP backlog makes it wait; the kernel tries again after a second") {
  full_listener full;
  const descriptor from = tcp_socket();
  flow client("client", [&](log& c) {
    const stopwatch since;
    COIR_OBSERVE(c, connect(from, full.where.where(), listener::size));
    c.check(since.milliseconds() > 100, "it waited");
  });
  usleep(100'000);
  o.say("the client %s", client.state());
  const descriptor first(accept(full.where.fd, nullptr, nullptr));
}

COIR_ROW("connect: UDP sockets connect at once, again elsewhere, and disconnect") {
  const both_ends e = make(kind::udp);
  sockaddr_in address = nobody();
  const descriptor from(COIR_MUST(socket(AF_INET, SOCK_DGRAM, 0)));
  const stopwatch since;
  COIR_OBSERVE(o, connect(from, as_address(address), sizeof address));
  COIR_OBSERVE(o, connect(from, as_address(address), sizeof address));
  sockaddr_in none = {};
  none.sin_family = AF_UNSPEC;
  COIR_OBSERVE(o, connect(from, as_address(none), sizeof none));
  COIR_OBSERVE(o, send(from, "x", 1, 0));
  o.took_no_time(since);
}

COIR_ROW("connect: a non-blocking one says EINPROGRESS or 0; poll and SO_ERROR tell the end") {
  const listener l;
  const descriptor from = tcp_socket(SOCK_NONBLOCK);
  const stopwatch since;
  const int r = connect(from, l.where(), l.size);
  o.check(r == 0 || errno == EINPROGRESS, "0 or EINPROGRESS");
  o.took_no_time(since);
  pollfd p = {from, POLLOUT, 0};
  COIR_OBSERVE(o, poll(&p, 1, 1000));
  o.say("events %x, error %d", p.revents, pending_error(from));
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
}

COIR_ROW("connect: a non-blocking one that is refused tells so by SO_ERROR") {
  const sockaddr_in address = nobody();
  const descriptor from = tcp_socket(SOCK_NONBLOCK);
  const int r = connect(from, as_address(address), sizeof address);
  o.check(r == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED), "EINPROGRESS or ECONNREFUSED");
  if (errno == ECONNREFUSED) return;
  pollfd p = {from, POLLOUT, 0};
  COIR_OBSERVE(o, poll(&p, 1, 1000));
  o.say("events %x, error %d, then %d", p.revents, pending_error(from), pending_error(from));
}

COIR_ROW("connect: a non-blocking one to a full backlog is in progress; again says EALREADY") {
  full_listener full;
  const descriptor from = tcp_socket(SOCK_NONBLOCK);
  const stopwatch since;
  COIR_OBSERVE(o, connect(from, full.where.where(), listener::size));
  COIR_OBSERVE(o, connect(from, full.where.where(), listener::size));
  o.took_no_time(since);
  pollfd p = {from, POLLOUT, 0};
  since.milliseconds();
  COIR_OBSERVE(o, poll(&p, 1, 40));
  char data[8];
  COIR_OBSERVE(o, recv(from, data, sizeof data, 0));
  COIR_OBSERVE(o, send(from, data, 1, MSG_NOSIGNAL));
}

COIR_ROW("connect: a blocking one joins a connection already in progress") {
  full_listener full;
  const descriptor from = tcp_socket(SOCK_NONBLOCK);
  COIR_OBSERVE(o, connect(from, full.where.where(), listener::size));
  set_nonblocking(from, false);
  flow client("client", [&](log& c) { COIR_OBSERVE(c, connect(from, full.where.where(), listener::size)); });
  usleep(60'000);
  o.say("the client %s", client.state());
  const descriptor first(accept(full.where.fd, nullptr, nullptr));
}

COIR_ROW("connect: send and recv on a socket that is still connecting wait for it") {
  full_listener full;
  const descriptor from = tcp_socket(SOCK_NONBLOCK);
  COIR_OBSERVE(o, connect(from, full.where.where(), listener::size));
  set_nonblocking(from, false);
  flow client("client", [&](log& c) {
    COIR_OBSERVE(c, send(from, "hello", 5, 0));
    char data[8];
    COIR_OBSERVE(c, recv(from, data, sizeof data, 0));
  });
  usleep(60'000);
  o.say("the client %s", client.state());
  const descriptor first(accept(full.where.fd, nullptr, nullptr));
  const descriptor second(accept(full.where.fd, nullptr, nullptr));
  char data[8];
  COIR_OBSERVE(o, recv(second, data, sizeof data, 0));
  COIR_OBSERVE(o, send(second, "answer", 6, 0));
}

COIR_ROW("connect: wrong arguments") {
  const listener l;
  const descriptor from = tcp_socket();
  sockaddr_in address = l.address;
  COIR_OBSERVE(o, connect(from, l.where(), 3));
  address.sin_family = AF_UNIX;
  COIR_OBSERVE(o, connect(from, as_address(address), sizeof address));
  COIR_OBSERVE(o, connect(from, nullptr, sizeof address));
  COIR_OBSERVE(o, connect(-1, l.where(), l.size));
  COIR_OBSERVE(o, connect(closed_number(), l.where(), l.size));
  const both_ends p = make(kind::pipe);
  COIR_OBSERVE(o, connect(p.a, l.where(), l.size));
  COIR_OBSERVE(o, connect(l.fd, l.where(), l.size));
  const both_ends pair = make(kind::unix_stream);
  COIR_OBSERVE(o, connect(pair.a, l.where(), l.size));
}

COIR_ROW("connect: SOCK_CLOEXEC sockets and IPv6 ones wait alike") {
  const descriptor l(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (l < 0) return;  // no IPv6 here; the same on both hosts
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  socklen_t size = sizeof address;
  if (bind(l, reinterpret_cast<sockaddr*>(&address), size) != 0) return;
  COIR_MUST(getsockname(l, reinterpret_cast<sockaddr*>(&address), &size));
  COIR_MUST(listen(l, 4));
  const descriptor from(COIR_MUST(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  flow client("client",
              [&](log& c) { COIR_OBSERVE(c, connect(from, reinterpret_cast<sockaddr*>(&address), size)); });
  const descriptor to(accept4(l, nullptr, nullptr, SOCK_CLOEXEC));
  o.check(to >= 0, "accepted");
}

namespace {

// A listener that takes data with the first packet.
struct fast_listener : listener {
  fast_listener() {
    const int most = 5;
    COIR_MUST(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &most, sizeof most));
  }
};

}  // namespace

COIR_ROW("MSG_FASTOPEN: one call connects and sends all") {
  const fast_listener l;
  for (const std::size_t size : {5, 300'000, 5}) {  // the first time there is no cookie for it
    const std::string data = pattern(size);
    flow server("server", [&](log& s) {
      const descriptor c(COIR_MUST(accept(l.fd, nullptr, nullptr)));
      s.check(read_all(c, size) == data, "all of it arrives");
      write_all(c, "answer");
    });
    const descriptor from = tcp_socket();
    COIR_OBSERVE(o, sendto(from, data.data(), size, MSG_FASTOPEN, l.where(), l.size));
    char answer[16];
    COIR_OBSERVE(o, recv(from, answer, 6, MSG_WAITALL));
    COIR_OBSERVE(o, connect(from, l.where(), l.size));
    COIR_OBSERVE(o, send(from, "x", 1, MSG_NOSIGNAL | MSG_FASTOPEN));
  }
}

COIR_ROW("MSG_FASTOPEN: by sendmsg, to nobody, and where it means nothing") {
  const fast_listener l;
  char byte = 'x';
  iovec v = {&byte, 1};
  msghdr m = {};
  sockaddr_in to = l.address;
  m.msg_name = &to;
  m.msg_namelen = sizeof to;
  m.msg_iov = &v;
  m.msg_iovlen = 1;
  const descriptor one = tcp_socket();
  COIR_OBSERVE(o, sendmsg(one, &m, MSG_FASTOPEN));
  to = nobody();
  const descriptor refused = tcp_socket();
  COIR_OBSERVE(o, sendmsg(refused, &m, MSG_FASTOPEN | MSG_NOSIGNAL));
  o.say("pending error %d", pending_error(refused));
  const descriptor refused_too = tcp_socket();
  COIR_OBSERVE(o, sendto(refused_too, "x", 1, MSG_FASTOPEN, as_address(to), sizeof to));
  const both_ends datagrams = make(kind::udp);
  COIR_OBSERVE(o, send(datagrams.a, "x", 1, MSG_FASTOPEN));
}

COIR_ROW("TCP_FASTOPEN_CONNECT: the first send connects, and waits for it") {
  const fast_listener l;
  for (int i = 0; i < 2; ++i) {
    flow server("server", [&](log& s) {
      const descriptor c(COIR_MUST(accept(l.fd, nullptr, nullptr)));
      s.say("%s", read_all(c, 5).c_str());
    });
    const descriptor from = tcp_socket();
    const int on = 1;
    COIR_MUST(setsockopt(from, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
    COIR_OBSERVE(o, connect(from, l.where(), l.size));
    COIR_OBSERVE(o, send(from, "hello", 5, 0));
    sockaddr_in peer;
    socklen_t size = sizeof peer;
    COIR_OBSERVE(o, getpeername(from, reinterpret_cast<sockaddr*>(&peer), &size));
  }
}

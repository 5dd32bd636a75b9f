// The user's own non-blocking descriptors never wait, whoever set the flag and whenever; and coir leaves no
// flag behind.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

char buffer[65536];

// A descriptor that must answer EAGAIN at once to every kind of read it knows.
void try_reads(log& o, int fd, bool socket) {
  const stopwatch since;
  COIR_OBSERVE(o, read(fd, buffer, 10));
  iovec v[2] = {{buffer, 5}, {buffer + 5, 5}};
  COIR_OBSERVE(o, readv(fd, v, 2));
  COIR_OBSERVE(o, preadv2(fd, v, 2, -1, 0));
  if (socket) {
    COIR_OBSERVE(o, recv(fd, buffer, 10, 0));
    COIR_OBSERVE(o, recv(fd, buffer, 10, MSG_PEEK));
    COIR_OBSERVE(o, recv(fd, buffer, 10, MSG_WAITALL));
    sockaddr_storage from;
    socklen_t size = sizeof from;
    COIR_OBSERVE(o, recvfrom(fd, buffer, 10, 0, reinterpret_cast<sockaddr*>(&from), &size));
    msghdr m = {};
    m.msg_iov = v;
    m.msg_iovlen = 2;
    COIR_OBSERVE(o, recvmsg(fd, &m, 0));
    mmsghdr mm = {m, 0};
    COIR_OBSERVE(o, recvmmsg(fd, &mm, 1, 0, nullptr));
  }
  o.took_no_time(since);
}

void try_writes(log& o, int fd, bool socket) {
  const stopwatch since;
  COIR_OBSERVE(o, write(fd, buffer, sizeof buffer));
  iovec v[2] = {{buffer, sizeof buffer / 2}, {buffer, sizeof buffer / 2}};
  COIR_OBSERVE(o, writev(fd, v, 2));
  if (socket) {
    COIR_OBSERVE(o, send(fd, buffer, sizeof buffer, 0));
    COIR_OBSERVE(o, sendto(fd, buffer, sizeof buffer, 0, nullptr, 0));
    msghdr m = {};
    m.msg_iov = v;
    m.msg_iovlen = 2;
    COIR_OBSERVE(o, sendmsg(fd, &m, 0));
    mmsghdr mm = {m, 0};
    COIR_OBSERVE(o, sendmmsg(fd, &mm, 1, 0));
  }
  o.took_no_time(since);
}

bool is_socket(kind k) {
  return k != kind::pipe;
}

}  // namespace

COIR_ROW("non-blocking: reads with the flag set by fcntl answer EAGAIN at once") {
  for (const kind k :
       {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::unix_packets, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    set_nonblocking(e.a, true);
    try_reads(o, e.a, is_socket(k));
  }
}

COIR_ROW("non-blocking: writes on a full descriptor answer EAGAIN at once") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    fill(e.b);
    set_nonblocking(e.b, true);
    try_writes(o, e.b, is_socket(k));
  }
}

COIR_ROW("non-blocking: MSG_DONTWAIT answers EAGAIN at once on a blocking socket") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const stopwatch since;
    COIR_OBSERVE(o, recv(e.a, buffer, 10, MSG_DONTWAIT));
    COIR_OBSERVE(o, recv(e.a, buffer, 10, MSG_DONTWAIT | MSG_PEEK));
    COIR_OBSERVE(o, recv(e.a, buffer, 10, MSG_DONTWAIT | MSG_WAITALL));
    iovec v = {buffer, 10};
    msghdr m = {};
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    COIR_OBSERVE(o, recvmsg(e.a, &m, MSG_DONTWAIT));
    mmsghdr mm = {m, 0};
    COIR_OBSERVE(o, recvmmsg(e.a, &mm, 1, MSG_DONTWAIT, nullptr));
    o.took_no_time(since);
    o.check(!is_nonblocking(e.a), "the socket stays blocking");
  }
}

COIR_ROW("non-blocking: MSG_DONTWAIT on a full socket answers EAGAIN at once") {
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    fill(e.b);
    const stopwatch since;
    COIR_OBSERVE(o, send(e.b, buffer, 1000, MSG_DONTWAIT));
    COIR_OBSERVE(o, sendto(e.b, buffer, 1000, MSG_DONTWAIT, nullptr, 0));
    o.took_no_time(since);
  }
}

COIR_ROW("non-blocking: a large MSG_DONTWAIT send answers the partial count") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_buffers(e.b, 32768);
    const std::string data = pattern(8 << 20);
    const stopwatch since;
    errno = untouched;
    const ssize_t n = send(e.b, data.data(), data.size(), MSG_DONTWAIT);
    o.took_no_time(since);
    o.check(n > 0 && n < static_cast<ssize_t>(data.size()), "part of it fits");
    o.check(errno == untouched, "errno stays");
    o.check(read_all(e.a, static_cast<std::size_t>(n)) == data.substr(0, static_cast<std::size_t>(n)),
            "the first part arrives");
  }
}

COIR_ROW("non-blocking: the flag set by ioctl FIONBIO is heeded, and its removal too") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    int on = 1, off = 0;
    COIR_OBSERVE(o, ioctl(e.a, FIONBIO, &on));
    o.check(is_nonblocking(e.a), "F_GETFL says so");
    try_reads(o, e.a, is_socket(k));
    COIR_OBSERVE(o, ioctl(e.a, FIONBIO, &off));
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, 10)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "late");
  }
}

COIR_ROW("non-blocking: the flag set after a short read and after a wait is heeded") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    {
      flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, sizeof buffer)); });
      settle();
      write_all(e.b, "data");
    }
    write_all(e.b, "more");
    COIR_OBSERVE(o, read(e.a, buffer, sizeof buffer));
    set_nonblocking(e.a, true);
    try_reads(o, e.a, is_socket(k));
    write_all(e.b, "again");
    COIR_OBSERVE(o, read(e.a, buffer, sizeof buffer));
    try_reads(o, e.a, is_socket(k));
    set_nonblocking(e.a, false);
    flow reader("second reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, sizeof buffer)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "end");
  }
}

COIR_ROW("non-blocking: the flag is one for all duplicates of a descriptor") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const descriptor twin(dup(e.a));
    {
      flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(twin, buffer, sizeof buffer)); });
      settle();
      write_all(e.b, "data");
    }
    set_nonblocking(e.a, true);
    try_reads(o, twin, is_socket(k));
    set_nonblocking(twin, false);
    flow reader("second reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, sizeof buffer)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "end");
  }
}

COIR_ROW("non-blocking: the flag that another process sets on the shared description is heeded") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    {
      flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, sizeof buffer)); });
      settle();
      write_all(e.b, "data");
    }
    const pid_t child = COIR_MUST(fork());
    if (child == 0) {
      set_nonblocking(e.a, true);
      _exit(0);
    }
    int status = 1;
    while (waitpid(child, &status, 0) < 0) {
    }
    o.check(is_nonblocking(e.a), "the flag arrived");
    flow timid("timid reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, sizeof buffer)); });
    settle();
    o.say("the reader %s", timid.state());
    write_all(e.b, "end");
  }
}

COIR_ROW("non-blocking: descriptors made with the flag are heeded from the first call on") {
  const descriptor plain(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  o.say("socket");
  COIR_OBSERVE(o, recv(plain, buffer, 10, 0));
  int ends[2];
  COIR_MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
  const descriptor a(ends[0]), b(ends[1]);
  o.say("socketpair");
  try_reads(o, a, true);
  COIR_MUST(pipe2(ends, O_NONBLOCK));
  const descriptor in(ends[0]), out(ends[1]);
  o.say("pipe2");
  try_reads(o, in, false);
  const descriptor event(eventfd(0, EFD_NONBLOCK));
  o.say("eventfd");
  COIR_OBSERVE(o, read(event, buffer, 8));
  eventfd_t value = 0;
  COIR_OBSERVE(o, eventfd_read(event, &value));
  const descriptor timer(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  o.say("timerfd");
  COIR_OBSERVE(o, read(timer, buffer, 8));
  const listener l;
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  const descriptor to(accept4(l.fd, nullptr, nullptr, SOCK_NONBLOCK));
  o.say("accept4");
  try_reads(o, to, true);
}

COIR_ROW("non-blocking: accept on such a listener answers EAGAIN at once") {
  const listener l;
  set_nonblocking(l.fd, true);
  const stopwatch since;
  COIR_OBSERVE(o, accept(l.fd, nullptr, nullptr));
  COIR_OBSERVE(o, accept4(l.fd, nullptr, nullptr, SOCK_CLOEXEC));
  o.took_no_time(since);
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  const descriptor made(accept(l.fd, nullptr, nullptr));
  o.check(made >= 0, "a waiting connection is accepted");
  o.check(!is_nonblocking(made), "the new socket does not inherit the flag");
}

COIR_ROW("flags: F_GETFL is unchanged during and after calls that waited") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    const int before = COIR_MUST(fcntl(e.a, F_GETFL)), before_b = COIR_MUST(fcntl(e.b, F_GETFL));
    {
      flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, buffer, 10)); });
      settle();
      o.check(fcntl(e.a, F_GETFL) == before, "unchanged while a read waits");
      write_all(e.b, "0123456789");
    }
    {
      const std::size_t filled = fill(e.b);
      flow writer("writer", [&](log& w) { COIR_OBSERVE(w, write(e.b, buffer, 5)); });
      settle();
      o.check(fcntl(e.b, F_GETFL) == before_b, "unchanged while a write waits");
      read_all(e.a, filled);
    }
    pollfd p = {e.a, POLLPRI, 0};
    poll(&p, 1, 5);
    o.check(fcntl(e.a, F_GETFL) == before && fcntl(e.b, F_GETFL) == before_b, "unchanged afterwards");
  }
}

COIR_ROW("flags: F_GETFL is unchanged by connect and accept that waited") {
  const listener l;
  const int listener_before = COIR_MUST(fcntl(l.fd, F_GETFL));
  const descriptor from = tcp_socket();
  const int before = COIR_MUST(fcntl(from, F_GETFL));
  descriptor to;
  {
    flow server("server", [&](log& s) {
      to = descriptor(accept(l.fd, nullptr, nullptr));
      s.check(to >= 0, "accepted");
    });
    settle();
    o.check(fcntl(l.fd, F_GETFL) == listener_before, "unchanged while accept waits");
    COIR_OBSERVE(o, connect(from, l.where(), l.size));
  }
  o.check(fcntl(l.fd, F_GETFL) == listener_before, "the listener's flags stay");
  o.check(fcntl(from, F_GETFL) == before, "the client's flags stay");
  o.check(fcntl(to, F_GETFL) == before, "the new socket's are those of a fresh one");
}

COIR_ROW("flags: connect that waits leaves the socket blocking") {
  const full_listener full;
  const descriptor from = tcp_socket();
  set_timeout(from, SO_SNDTIMEO, 60'000);
  {
    flow client("client",
                [&](log& c) { COIR_OBSERVE(c, connect(from, full.where.where(), listener::size)); });
    settle();
    o.check(!is_nonblocking(from), "while it waits");
  }
  o.check(!is_nonblocking(from), "afterwards");
}

COIR_ROW("flags: coir adds neither TCP_NODELAY nor close-on-exec nor keep-alive") {
  const listener l;
  const descriptor from(socket(AF_INET, SOCK_STREAM, 0));
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  const descriptor to(accept(l.fd, nullptr, nullptr));
  for (const int fd : {static_cast<int>(from), static_cast<int>(to)}) {
    int value = 0;
    socklen_t size = sizeof value;
    COIR_OBSERVE(o, getsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &value, &size));
    o.say("no delay %d", value);
    COIR_OBSERVE(o, getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size));
    o.say("keep-alive %d", value);
    o.say("descriptor flags %d", fcntl(fd, F_GETFD));
  }
}

COIR_ROW("O_NONBLOCK and SO_RCVTIMEO: set while a call waits, they are for the calls after it") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::udp, kind::pipe})
    for (const bool by_another_number : {false, true})
      for (const int way : {0, 1, 2}) {
        if (way == 2 && k == kind::pipe) continue;
        const both_ends e = make(k);
        const descriptor other(COIR_MUST(dup(e.a)));
        const int by = by_another_number ? other : e.a;
        char data[16];
        // Once before, so that what the descriptor is may be known when it waits.
        write_all(e.b, "x");
        COIR_OBSERVE(o, read(e.a, data, sizeof data));
        flow reader(name_of(k), [&](log& r) {
          char got[16];
          COIR_OBSERVE(r, read(e.a, got, sizeof got));
        });
        settle();
        int on = 1;
        const timeval soon = {0, 5000};
        if (way == 0) COIR_MUST(fcntl(by, F_SETFL, O_NONBLOCK));
        if (way == 1) COIR_MUST(ioctl(by, FIONBIO, &on));
        if (way == 2) COIR_MUST(setsockopt(by, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
        nap(40);
        o.say("the reader %s", reader.state());
        COIR_OBSERVE(o, recv(e.a, data, sizeof data, MSG_PEEK));
        write_all(e.b, "hello");
      }
  const listener l;
  flow acceptor("acceptor", [&](log& r) {
    const descriptor got(accept(l.fd, nullptr, nullptr));
    r.check(got >= 0, "a connection");
  });
  settle();
  set_nonblocking(l.fd, true);
  nap(40);
  o.say("the acceptor %s", acceptor.state());
  const descriptor c = tcp_socket();
  COIR_MUST(connect(c, l.where(), listener::size));
}

// SO_RCVTIMEO and SO_SNDTIMEO: to the microsecond, one for all duplicates, heeded by every call.
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

char buffer[64];

iovec one = {buffer, sizeof buffer};

msghdr plain_message() {
  msghdr m = {};
  m.msg_iov = &one;
  m.msg_iovlen = 1;
  return m;
}

}  // namespace

COIR_ROW("SO_RCVTIMEO: each receiving call gives up with EAGAIN, not early and not late") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    set_timeout(e.a, SO_RCVTIMEO, 20'500);
    stopwatch since;
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
    o.took(since, 20.5), since.restart();
    COIR_OBSERVE(o, read(e.a, buffer, sizeof buffer));
    o.took(since, 20.5), since.restart();
    COIR_OBSERVE(o, readv(e.a, &one, 1));
    o.took(since, 20.5), since.restart();
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, MSG_PEEK));
    o.took(since, 20.5), since.restart();
    sockaddr_storage from;
    socklen_t size = sizeof from;
    COIR_OBSERVE(o, recvfrom(e.a, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size));
    o.took(since, 20.5), since.restart();
    msghdr m = plain_message();
    COIR_OBSERVE(o, recvmsg(e.a, &m, 0));
    o.took(since, 20.5), since.restart();
    mmsghdr mm = {m, 0};
    COIR_OBSERVE(o, recvmmsg(e.a, &mm, 1, 0, nullptr));
    o.took(since, 20.5), since.restart();
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, MSG_DONTWAIT));
    o.took_no_time(since);
  }
}

COIR_ROW("SO_RCVTIMEO: data that comes in time is returned, and the next call has the whole limit again") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_timeout(e.a, SO_RCVTIMEO, 250'000);
    for (int i = 0; i < 2; ++i) {
      const stopwatch since;
      flow writer("writer", [&](log&) {
        usleep(50'000);
        write_all(e.b, "data");
      });
      COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
      o.took(since, 50);
    }
    const stopwatch since;
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
    o.took(since, 250);
  }
}

COIR_ROW("SO_RCVTIMEO: less than a millisecond is not nothing") {
  const both_ends e = make(kind::tcp);
  set_timeout(e.a, SO_RCVTIMEO, 700);
  const stopwatch since;
  COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
  o.took(since, 0.7);
}

COIR_ROW("SO_RCVTIMEO: zero means forever") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_timeout(e.a, SO_RCVTIMEO, 30'000);
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
    set_timeout(e.a, SO_RCVTIMEO, 0);
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.a, buffer, sizeof buffer, 0)); });
    usleep(60'000);
    o.say("%s: the reader %s", name_of(k), reader.state());
    write_all(e.b, "data");
  }
}

COIR_ROW("SO_RCVTIMEO: set through a duplicate it holds for both") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    {
      flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.a, buffer, sizeof buffer, 0)); });
      settle();
      write_all(e.b, "data");
    }
    const descriptor twin(COIR_MUST(dup(e.a)));
    set_timeout(twin, SO_RCVTIMEO, 40'000);
    stopwatch since;
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
    o.took(since, 40), since.restart();
    COIR_OBSERVE(o, recv(twin, buffer, sizeof buffer, 0));
    o.took(since, 40);
  }
}

COIR_ROW("SO_RCVTIMEO: two readers each have their own time") {
  const both_ends e = make(kind::unix_stream);
  set_timeout(e.a, SO_RCVTIMEO, 60'000);
  const auto read_it = [&](log& r) {
    const stopwatch since;
    char data[8];
    COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
    r.took(since, 60);
  };
  flow first("first", read_it);
  usleep(30'000);
  flow second("second", read_it);
}

COIR_ROW("SO_RCVTIMEO: poll and select do not care") {
  const both_ends e = make(kind::tcp);
  set_timeout(e.a, SO_RCVTIMEO, 10'000);
  pollfd p = {e.a, POLLIN, 0};
  stopwatch since;
  COIR_OBSERVE(o, poll(&p, 1, 40));
  o.took(since, 40), since.restart();
  fd_set set;
  FD_ZERO(&set);
  FD_SET(e.a, &set);
  timeval t = {0, 40'000};
  COIR_OBSERVE(o, select(e.a + 1, &set, nullptr, nullptr, &t));
  o.took(since, 40);
}

COIR_ROW("SO_RCVTIMEO: accept gives up with EAGAIN") {
  const listener l;
  set_timeout(l.fd, SO_RCVTIMEO, 40'000);
  stopwatch since;
  COIR_OBSERVE(o, accept(l.fd, nullptr, nullptr));
  o.took(since, 40), since.restart();
  COIR_OBSERVE(o, accept4(l.fd, nullptr, nullptr, SOCK_NONBLOCK));
  o.took(since, 40);
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  const descriptor to(accept(l.fd, nullptr, nullptr));
  o.check(to >= 0, "a connection is accepted afterwards");
}

COIR_ROW("SO_SNDTIMEO: a full socket gives EAGAIN") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    // A full TCP receiver finds a little more room now and then by packing tighter; then once more.
    const auto until_full = [&](const char* what, auto call) {
      for (int tries = 0; tries < 10; ++tries) {
        fill(e.b);
        set_timeout(e.b, SO_SNDTIMEO, 30'000);
        const stopwatch since;
        errno = untouched;
        const long r = call();
        const int error = errno;
        if (r > 0) continue;
        o.result((std::string(name_of(k)) + "_" + what).c_str(), r, error);
        o.took(since, 30);
        return;
      }
      o.say("%s %s never failed", name_of(k), what);
    };
    until_full("send", [&] { return send(e.b, "data", 4, 0); });
    until_full("write", [&] { return write(e.b, "data", 4); });
    until_full("sendmsg", [&] {
      const msghdr m = plain_message();
      return sendmsg(e.b, &m, 0);
    });
  }
}

COIR_ROW("SO_SNDTIMEO: a large send gives the partial count") {
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    set_buffers(e.b, 65536);
    set_timeout(e.b, SO_SNDTIMEO, 40'000);
    const std::string large = pattern(8 << 20);
    const stopwatch since;
    errno = untouched;
    const ssize_t n = send(e.b, large.data(), large.size(), 0);
    o.took(since, 40);
    o.check(errno == untouched, "errno stays");
    o.check(n > 0 && n < static_cast<ssize_t>(large.size()), "a part of it is sent");
    o.check(read_all(e.a, static_cast<std::size_t>(n)) == large.substr(0, static_cast<std::size_t>(n)),
            "as many bytes arrive as were said to be sent");
    COIR_OBSERVE(o, recv(e.a, buffer, 1, MSG_DONTWAIT));
  }
}

COIR_ROW("SO_SNDTIMEO: room that poll does not call room yet is found when the time is over") {
  for (const kind k : {kind::unix_stream, kind::unix_packets}) {
    const both_ends e = make(k);
    set_timeout(e.b, SO_SNDTIMEO, 150'000);
    fill(e.b);
    flow writer(name_of(k), [&](log& w) { COIR_OBSERVE(w, send(e.b, "data", 4, 0)); });
    nap(30);
    recv(e.a, buffer, sizeof buffer, 0);
    recv(e.a, buffer, sizeof buffer, 0);
    o.say("the writer %s", writer.state());
  }
}

COIR_ROW("SO_SNDTIMEO: a full datagram receiver gives EAGAIN") {
  const both_ends e = make(kind::unix_datagram);
  fill(e.b);
  set_timeout(e.b, SO_SNDTIMEO, 40'000);
  const stopwatch since;
  COIR_OBSERVE(o, send(e.b, "x", 1, 0));
  o.took(since, 40);
}

COIR_ROW("SO_SNDTIMEO: a receiver full of another's datagrams gives EAGAIN, and room is noticed") {
  const scratch_path path("receiver");
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  const descriptor receiver(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0))),
      other(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0))), from(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  COIR_MUST(bind(receiver, to, size));
  while (sendto(other, "x", 1, MSG_DONTWAIT, to, size) == 1) {
  }
  set_timeout(from, SO_SNDTIMEO, 40'000);
  const stopwatch since;
  COIR_OBSERVE(o, sendto(from, "y", 1, 0, to, size));
  o.took(since, 40);
  set_timeout(from, SO_SNDTIMEO, 0);
  flow sender("sender", [&](log& s) { COIR_OBSERVE(s, sendto(from, "y", 1, 0, to, size)); });
  usleep(30'000);
  o.say("the sender %s", sender.state());
  COIR_OBSERVE(o, recv(receiver, buffer, 1, 0));
}

COIR_ROW("SO_SNDTIMEO: connect gives up with EINPROGRESS, and goes on by itself") {
  full_listener full;
  const descriptor from = tcp_socket();
  set_timeout(from, SO_SNDTIMEO, 50'000);
  const stopwatch since;
  COIR_OBSERVE(o, connect(from, full.where.where(), listener::size));
  o.took(since, 50);
  pollfd p = {from, POLLOUT, 0};
  COIR_OBSERVE(o, poll(&p, 1, 0));
}

COIR_ROW("SO_SNDTIMEO: connect to a full unix listener gives up with EAGAIN") {
  const scratch_path path("listener");
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  const descriptor l(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  COIR_MUST(bind(l, to, size));
  COIR_MUST(listen(l, 0));
  const descriptor first(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0))),
      second(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  COIR_OBSERVE(o, connect(first, to, size));
  set_timeout(second, SO_SNDTIMEO, 50'000);
  const stopwatch since;
  COIR_OBSERVE(o, connect(second, to, size));
  o.took(since, 50);
}

COIR_ROW("SO_RCVTIMEO: getsockopt tells what was set") {
  const descriptor d = tcp_socket();
  set_timeout(d, SO_RCVTIMEO, 1'500'000);
  set_timeout(d, SO_SNDTIMEO, 250'000);
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    timeval t = {};
    socklen_t size = sizeof t;
    COIR_OBSERVE(o, getsockopt(d, SOL_SOCKET, option, &t, &size));
    o.say("%ld s %ld us", static_cast<long>(t.tv_sec), static_cast<long>(t.tv_usec));
  }
}

COIR_ROW("SO_RCVTIMEO and SO_SNDTIMEO: below zero no call waits, until they are set anew") {
  const timeval below = {-1, 0};
  const std::string much = pattern(6 << 20);
  for (const kind k : {kind::tcp, kind::unix_stream, kind::udp}) {
    const both_ends e = make(k);
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, setsockopt(e.a, SOL_SOCKET, SO_RCVTIMEO, &below, sizeof below));
    COIR_OBSERVE(o, setsockopt(e.a, SOL_SOCKET, SO_SNDTIMEO, &below, sizeof below));
    const descriptor again(COIR_MUST(dup(e.a)));
    const stopwatch since;
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
    COIR_OBSERVE(o, read(again, buffer, sizeof buffer));
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, MSG_WAITALL));
    if (k != kind::udp) {
      const ssize_t n = send(e.a, much.data(), much.size(), 0);
      o.say("a part was sent: %s", n > 0 && n < static_cast<ssize_t>(much.size()) ? "yes" : "no");
    }
    o.took_no_time(since);
    set_timeout(again, SO_RCVTIMEO, 0);
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.a, buffer, sizeof buffer, 0)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "x");
  }
  const listener l;
  COIR_MUST(setsockopt(l.fd, SOL_SOCKET, SO_RCVTIMEO, &below, sizeof below));
  COIR_OBSERVE(o, accept(l.fd, nullptr, nullptr));
}

COIR_ROW("SO_RCVTIMEO: an error that comes as the time is over is heard of, by this call or the next") {
  both_ends e = make(kind::tcp);
  both_ends p = make(kind::pipe);
  set_timeout(e.a, SO_RCVTIMEO, 30'000);
  flow reader("reader", [&](log& r) {
    bool heard = false;
    for (int calls = 0; calls < 3 && !heard; ++calls)
      heard = recv(e.a, buffer, sizeof buffer, 0) < 0 && errno == ECONNRESET;
    r.say("heard of: %s", heard ? "yes" : "no");
  });
  flow other("other", [&](log&) {
    if (read(p.a, buffer + 1, 1) < 0) return;
  });
  settle();
  flow resetter("resetter", [&](log&) {
    usleep(10'000);
    const linger off = {1, 0};
    COIR_MUST(setsockopt(e.b, SOL_SOCKET, SO_LINGER, &off, sizeof off));
    e.b.close();
    p.a.close();  // on fibers this wakes who reads there, which looks at all that has come
  });
  // Both deadlines pass before anybody can look at them.
  const stopwatch since;
  while (since.milliseconds() < 45) {
  }
  resetter.join();
  p.b.close();
}

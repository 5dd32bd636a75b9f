// Ends that no data tells of: shutdown of a datagram socket, and what poll reports unasked while a call waits
// for something else (a peer that has shut down, an error queue that nobody reads).
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

char buffer[64];

// Every way to receive, by name.
template <class F>
void each_call(F&& f) {
  f("read", [](int fd) { return static_cast<long>(read(fd, buffer, sizeof buffer)); });
  f("readv", [](int fd) {
    const iovec v[2] = {{buffer, 2}, {buffer + 2, 60}};
    return static_cast<long>(readv(fd, v, 2));
  });
  f("recv", [](int fd) { return static_cast<long>(recv(fd, buffer, sizeof buffer, 0)); });
  f("peek", [](int fd) { return static_cast<long>(recv(fd, buffer, sizeof buffer, MSG_PEEK)); });
  f("recvfrom", [](int fd) {
    sockaddr_storage from;
    socklen_t size = sizeof from;
    return static_cast<long>(
        recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size));
  });
  f("recvmsg", [](int fd) {
    iovec v = {buffer, sizeof buffer};
    msghdr m = {};
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    return static_cast<long>(recvmsg(fd, &m, 0));
  });
  for (const int flags : {0, +MSG_WAITFORONE})
    f(flags == 0 ? "recvmmsg" : "recvmmsg for one", [flags](int fd) {
      iovec v = {buffer, sizeof buffer};
      mmsghdr m[2] = {};
      for (mmsghdr& one : m) {
        one.msg_hdr.msg_iov = &v;
        one.msg_hdr.msg_iovlen = 1;
      }
      return static_cast<long>(recvmmsg(fd, m, 2, flags, nullptr));
    });
}

double processor_ms() {
  timespec t;
  COIR_MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

}  // namespace

COIR_ROW("shutdown: who waits for a datagram gets zero, whatever the call") {
  for (const kind k : datagrams)
    each_call([&](const char* what, auto call) {
      const both_ends e = make(k);
      flow reader(std::string(name_of(k)) + " " + what, [&](log& r) {
        errno = untouched;
        const long n = call(e.a);
        r.result(what, n, errno);
      });
      settle();
      o.say("%s %s: the reader %s", name_of(k), what, reader.state());
      COIR_MUST(shutdown(e.a, SHUT_RDWR));
    });
}

COIR_ROW("shutdown: a socket nobody connected wakes its receiver too, though shutdown says ENOTCONN") {
  const descriptor s(COIR_MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  sockaddr_in a = {};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  COIR_MUST(bind(s, reinterpret_cast<const sockaddr*>(&a), sizeof a));
  flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(s, buffer, sizeof buffer, 0)); });
  settle();
  COIR_OBSERVE(o, shutdown(s, SHUT_RDWR));
}

COIR_ROW("shutdown: who asks for a datagram afterwards gets zero, with MSG_DONTWAIT what the kernel says") {
  for (const kind k : datagrams) {
    const both_ends e = make(k);
    write_all(e.b, "before");
    COIR_MUST(shutdown(e.a, SHUT_RD));
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
    each_call([&](const char* what, auto call) {
      const stopwatch since;
      errno = untouched;
      const long n = call(e.a);
      o.result(what, n, errno);
      o.took_no_time(since);
    });
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, MSG_DONTWAIT));
    set_nonblocking(e.a, true);
    COIR_OBSERVE(o, recv(e.a, buffer, sizeof buffer, 0));
  }
}

COIR_ROW("half-close: who waits for room beside a peer that has shut down lets the thread sleep") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_buffers(e.a, 16384);
    COIR_MUST(shutdown(e.b, SHUT_WR));
    do {
      fill(e.a);
      settle();
    } while (fill(e.a) != 0);
    o.say("%s", name_of(k));
    set_timeout(e.a, SO_SNDTIMEO, 60'000);
    const double before = processor_ms();
    stopwatch since;
    COIR_OBSERVE(o, send(e.a, "x", 1, 0));
    o.took(since, 60), since.restart();
    pollfd p = {e.a, POLLOUT, 0};
    COIR_OBSERVE(o, poll(&p, 1, 60));
    o.took(since, 60), since.restart();
    fd_set out;
    FD_ZERO(&out);
    FD_SET(e.a, &out);
    timeval t = {0, 60'000};
    COIR_OBSERVE(o, select(e.a + 1, nullptr, &out, nullptr, &t));
    o.took(since, 60);
    o.check(processor_ms() - before < 60, "the waits take little time of the processor's");
  }
}

COIR_ROW(
    "half-close: a send that waits for room beside a peer that has shut down goes on as the peer reads") {
  for (const kind k : sockets) {
    both_ends e = make(k);
    set_buffers(e.a, 16384);
    COIR_MUST(shutdown(e.b, SHUT_WR));
    const std::string much = pattern(300'000);
    flow writer(name_of(k), [&](log& w) {
      COIR_OBSERVE(w, send(e.a, much.data(), much.size(), 0));
      COIR_OBSERVE(w, recv(e.a, buffer, sizeof buffer, 0));
      e.a.close();
    });
    settle();
    o.say("the writer %s", writer.state());
    o.check(read_all(e.b) == much, "all of it arrives");
  }
}

COIR_ROW("end of a connection: a send that has sent a part takes the error with it") {
  both_ends e = make(kind::unix_stream);
  set_buffers(e.a, 16384);
  const std::string much = pattern(300'000);
  flow writer("writer", [&](log& w) {
    const ssize_t n = send(e.a, much.data(), much.size(), MSG_NOSIGNAL);
    w.check(n > 0 && n < 300'000, "a part was sent");
    pollfd p = {e.a, POLLIN, 0};
    COIR_OBSERVE(w, poll(&p, 1, 0));
    w.say("%x", static_cast<unsigned>(p.revents));
    COIR_OBSERVE(w, send(e.a, "x", 1, MSG_NOSIGNAL));
  });
  settle();
  e.b.close();
}

COIR_ROW("error queue: one that nobody reads keeps no receiver from sleeping") {
  const descriptor s(COIR_MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  const int on = 1;
  COIR_MUST(setsockopt(s, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
  const sockaddr_in to = nobody();
  COIR_MUST(connect(s, reinterpret_cast<const sockaddr*>(&to), sizeof to));
  COIR_OBSERVE(o, send(s, "x", 1, 0));
  COIR_OBSERVE(o, recv(s, buffer, sizeof buffer, 0));
  set_timeout(s, SO_RCVTIMEO, 60'000);
  const double before = processor_ms();
  for (int i = 0; i < 2; ++i) {
    const stopwatch since;
    if (i == 0) COIR_OBSERVE(o, recv(s, buffer, sizeof buffer, 0));
    if (i == 1) COIR_OBSERVE(o, recvfrom(s, buffer, sizeof buffer, 0, nullptr, nullptr));
    o.took(since, 60);
  }
  o.check(processor_ms() - before < 60, "the waits take little time of the processor's");
}

COIR_ROW("shutdown: who waits for room hears of it, whichever end was shut down") {
  for (const kind k : sockets)
    for (const bool by_peer : {false, true}) {
      // What TCP's peer does not want to read it sends nonetheless.
      if (by_peer && k == kind::tcp) continue;
      const both_ends e = make(k);
      set_buffers(e.a, 16384);
      const std::string much = pattern(3'000'000);
      flow writer(name_of(k), [&](log& w) {
        const ssize_t n = send(e.a, much.data(), much.size(), MSG_NOSIGNAL);
        w.check(n > 0 && n < 3'000'000, "a part was sent");
        COIR_OBSERVE(w, send(e.a, "x", 1, MSG_NOSIGNAL));
      });
      settle();
      o.say("the writer %s", writer.state());
      COIR_MUST(by_peer ? shutdown(e.b, SHUT_RD) : shutdown(e.a, SHUT_WR));
    }
}

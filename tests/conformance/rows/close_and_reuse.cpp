// What becomes of the number after a close, of the peer, and of those whom it does not concern; shutdown.
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "close.hpp"

using namespace conformance;

COIR_ROW("close: a descriptor in the user's epoll set goes, epoll_wait waits on") {
  both_ends e = make(kind::unix_stream);
  const both_ends other = make(kind::unix_stream);
  const descriptor poller(COIR_MUST(epoll_create1(0)));
  epoll_event event = {};
  event.events = EPOLLIN;
  COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, e.a, &event));
  COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, other.a, &event));
  flow waiter("waiter", [&](log& r) {
    epoll_event found;
    COIR_OBSERVE(r, epoll_wait(poller, &found, 1, 1500));
  });
  settle();
  e.a.close();
  settle();
  o.say("the waiter %s", waiter.state());
  write_all(other.b, "x");
}

COIR_ROW("close: the peer sees the end of the stream at once, though a read waited") {
  for (const kind k : sockets) {
    both_ends e = make(k);
    flow waiter("waiter", doomed_read(e.a));
    settle();
    e.a.close();
    set_timeout(e.b, SO_RCVTIMEO, 200'000);
    char data[8];
    errno = 0;
    const ssize_t n = recv(e.b, data, sizeof data, 0);
    o.say("%s: %s", name_of(k), n == 0 ? "the end" : "nothing yet");
    if (on_fibers()) o.check(n == 0, "the peer sees the end");
    if (!waiter.done()) send(e.b, "x", 1, MSG_NOSIGNAL);
  }
}

COIR_ROW("close: the number is reused at once; the old waiter gets nothing of the new file") {
  for (const kind k : streams) {
    both_ends e = make(k), fresh = make(k);
    write_all(fresh.b, "for the new owner");
    const int number = e.a;
    flow waiter(std::string(name_of(k)) + " read", doomed_read(number));
    settle();
    close(e.a.release());
    const descriptor again(COIR_MUST(fcntl(fresh.a, F_DUPFD_CLOEXEC, number)));
    o.check(again == number, "the number is used again");
    settle();
    o.say("%s: the waiter %s", name_of(k), waiter.state());
    if (!waiter.done()) write_all(e.b, "old");
    waiter.join();
    o.say("the new file has %d bytes", bytes_waiting(again));
    o.check(bytes_waiting(again) == 17, "nothing is missing");
  }
}

COIR_ROW("close: the number is reused at once; poll, select and epoll_wait do not look at the new file") {
  for (int i = 0; i < 3; ++i) {
    const char* names[] = {"poll", "select", "epoll_wait"};
    both_ends e = make(kind::unix_stream), fresh = make(kind::unix_stream);
    write_all(fresh.b, "for the new owner");
    descriptor poller(COIR_MUST(epoll_create1(0)));
    epoll_event event = {};
    event.events = EPOLLIN;
    COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, e.a, &event));
    const descriptor fresh_poller(COIR_MUST(epoll_create1(0)));
    COIR_MUST(epoll_ctl(fresh_poller, EPOLL_CTL_ADD, fresh.a, &event));
    const int number = i < 2 ? e.a : poller;
    flow waiter(names[i], [=](log& r) {
      if (i == 0) {
        pollfd f = {number, POLLIN, 0};
        const int n = poll(&f, 1, 1500);
        r.say("poll %d, events %x", n, f.revents);
        if (on_fibers()) r.check(n == 1 && f.revents == POLLNVAL, "POLLNVAL");
        return;
      }
      fd_set set;
      FD_ZERO(&set);
      FD_SET(number, &set);
      timeval t = {1, 500'000};
      epoll_event found;
      errno = 0;
      const int n =
          i == 1 ? select(number + 1, &set, nullptr, nullptr, &t) : epoll_wait(number, &found, 1, 1500);
      r.result(names[i], n, n < 0 ? errno : untouched);
      if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
    });
    settle();
    close(i < 2 ? e.a.release() : poller.release());
    const descriptor again(COIR_MUST(fcntl(i < 2 ? fresh.a : fresh_poller, F_DUPFD_CLOEXEC, number)));
    o.check(again == number, "the number is used again");
    settle();
    o.say("%s: the waiter %s", names[i], waiter.state());
    if (!waiter.done()) write_all(e.b, "old");
    waiter.join();
  }
}

COIR_ROW("close: the new owner of a number hears nothing of the old file") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    both_ends e = make(k);
    const descriptor kept(COIR_MUST(dup(e.a)));  // the old file lives on, and so do its events
    char data[32];
    {
      flow first("first", [&](log& r) { COIR_OBSERVE(r, read(e.a, data, sizeof data)); });
      settle();
      write_all(e.b, "hello");
    }
    const int number = e.a.release();
    close(number);
    both_ends fresh = make(k);
    const descriptor again(COIR_MUST(fcntl(fresh.a, F_DUPFD_CLOEXEC, number)));
    o.say("same number: %s", again == number ? "yes" : "no");
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(again, data, sizeof data)); });
    flow poller("poller", [&](log& r) {
      pollfd f = {again, POLLIN | POLLPRI, 0};
      COIR_OBSERVE(r, poll(&f, 1, 40));
    });
    settle();
    write_all(e.b, "to the old one");
    e.b.close();
    poller.join();
    o.say("the reader %s", reader.state());
    write_all(fresh.b, "to the new one");
  }
}

COIR_ROW_WITH(own_process, "close: what a vfork child closes stays open and awaited in its parent") {
  for (const kind k : streams) {
    both_ends e = make(k);
    const int fd = e.a, other = e.b;
    char data[16];
    flow reader(name_of(k), [&](log& r) { COIR_OBSERVE(r, read(fd, data, sizeof data)); });
    settle();
    const pid_t child = vfork();
    if (child == 0) {
      close(fd);
      dup2(0, other);
      close_range(3, 4000, 0);
      _exit(0);
    }
    while (waitpid(child, nullptr, 0) < 0) {
    }
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
    write_all(e.b, "hello");
  }
}

COIR_ROW("close: with SO_LINGER it lingers, and others run") {
  const both_ends quick = make(kind::tcp);
  both_ends e = make(kind::tcp);
  fill(e.b);
  const linger a_second = {1, 1};
  COIR_OBSERVE(o, setsockopt(e.b, SOL_SOCKET, SO_LINGER, &a_second, sizeof a_second));
  flow closer("closer", [&](log& c) {
    const stopwatch since;
    COIR_OBSERVE(c, close(e.b.release()));
    c.took(since, 990);
  });
  char data[8];
  flow reader("reader", [&](log& r) {
    const stopwatch since;
    COIR_OBSERVE(r, read(quick.a, data, sizeof data));
    r.check(since.milliseconds() < 700, "late: the other flow was held up");
  });
  usleep(50'000);
  o.say("the closer %s", closer.state());
  write_all(quick.b, "hello");
}

COIR_ROW("close: numbers that go round quickly are never mixed up") {
  for (int round = 0; round < 60; ++round) {
    both_ends e = make(round % 2 == 0 ? kind::unix_stream : kind::tcp);
    char data[8] = {};
    ssize_t n = 0;
    flow reader("reader", [&](log&) { n = read(e.a, data, sizeof data); });
    if (round % 3 == 0) settle();
    const std::string text = std::to_string(round);
    write_all(e.b, text);
    reader.join();
    if (n != static_cast<ssize_t>(text.size()) || text != data)
      o.say("round %d got %zd bytes: %s", round, n, data);
  }
}

COIR_ROW("close: twice says EBADF, and so do calls on what is closed") {
  const int fd = closed_number();
  char data[8];
  COIR_OBSERVE(o, close(fd));
  COIR_OBSERVE(o, close(-1));
  COIR_OBSERVE(o, read(fd, data, 1));
  COIR_OBSERVE(o, dup2(fd, 5000));
  COIR_OBSERVE(o, dup2(0, -1));
  COIR_OBSERVE(o, dup3(0, 0, 0));
  COIR_OBSERVE(o, dup3(0, 700, 1));
  COIR_OBSERVE(o, close_range(5, 4, 0));
  COIR_OBSERVE(o, close_range(1000, 1001, 1 << 20));
}

COIR_ROW("shutdown: wakes a waiting read and a waiting send alike") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[8];
    {
      flow reader(std::string(name_of(k)) + " reader",
                  [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0)); });
      settle();
      COIR_OBSERVE(o, shutdown(e.a, SHUT_RD));
    }
    fill(e.b);
    flow writer(std::string(name_of(k)) + " writer",
                [&](log& w) { COIR_OBSERVE(w, send(e.b, "x", 1, MSG_NOSIGNAL)); });
    settle();
    o.say("%s: the writer %s", name_of(k), writer.state());
    COIR_OBSERVE(o, shutdown(e.b, SHUT_WR));
  }
}

COIR_ROW("shutdown: wakes poll, select and a connect in progress") {
  const both_ends e = make(kind::tcp);
  {
    flow poller("poller", [&](log& p) {
      pollfd f = {e.a, POLLIN | POLLRDHUP, 0};
      COIR_OBSERVE(p, poll(&f, 1, 1500));
      p.say("events %x", f.revents);
    });
    flow selector("selector", [&](log& p) {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(e.a, &set);
      timeval t = {1, 500'000};
      COIR_OBSERVE(p, select(e.a + 1, &set, nullptr, nullptr, &t));
    });
    settle();
    COIR_OBSERVE(o, shutdown(e.a, SHUT_RDWR));
  }
  full_listener full;
  const descriptor from = tcp_socket();
  flow client("client", [&](log& c) { COIR_OBSERVE(c, connect(from, full.where.where(), listener::size)); });
  settle();
  o.say("the client %s", client.state());
  COIR_OBSERVE(o, shutdown(from, SHUT_RDWR));
  settle();
  o.say("the client %s", client.state());
  const descriptor first(accept(full.where.fd, nullptr, nullptr));
}

COIR_ROW("shutdown: of what is not connected, not a socket, or not open") {
  const descriptor d = tcp_socket();
  const both_ends p = make(kind::pipe), u = make(kind::unix_stream);
  COIR_OBSERVE(o, shutdown(d, SHUT_RDWR));
  COIR_OBSERVE(o, shutdown(p.a, SHUT_RD));
  COIR_OBSERVE(o, shutdown(closed_number(), SHUT_RD));
  COIR_OBSERVE(o, shutdown(u.a, 7));
}

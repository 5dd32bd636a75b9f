// Every waiting call is woken by every way to close its descriptor.
#include <fcntl.h>
#include <linux/close_range.h>
#include <netdb.h>
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
#include <memory>
#include <thread>
#include <vector>

#include "close.hpp"

using namespace conformance;

COIR_ROW("close: a waiting read gets EBADF") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::udp}) {
    both_ends e = make(k);
    close_during(
        o, name_of(k), doomed_read(e.a), [&] { e.a.close(); }, [&] { write_all(e.b, "x"); });
  }
  descriptor event(eventfd(0, 0));
  const descriptor twin(dup(event));
  close_during(
      o, "eventfd", doomed_read(event), [&] { event.close(); }, [&] { eventfd_write(twin, 1); });
}

COIR_ROW("close: every receiving call gets EBADF") {
  for (const kind k : sockets) {
    char data[16];
    iovec v = {data, sizeof data};
    const auto once = [&](const char* what, auto call) {
      both_ends e = make(k);
      const int fd = e.a;
      close_during(
          o, std::string(name_of(k)) + " " + what,
          [&, fd](log& r) {
            errno = 0;
            const long n = call(fd);
            r.result(what, n, n < 0 ? errno : untouched);
            if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
          },
          [&] { e.a.close(); }, [&] { write_all(e.b, "0123456789abcdef"); });
    };
    once("recv", [&](int fd) { return recv(fd, data, sizeof data, 0); });
    once("recv all", [&](int fd) { return recv(fd, data, sizeof data, MSG_WAITALL); });
    once("peek", [&](int fd) { return recv(fd, data, sizeof data, MSG_PEEK); });
    once("readv", [&](int fd) { return readv(fd, &v, 1); });
    once("recvfrom", [&](int fd) {
      sockaddr_storage from;
      socklen_t size = sizeof from;
      return recvfrom(fd, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size);
    });
    once("recvmsg", [&](int fd) {
      msghdr m = {};
      m.msg_iov = &v;
      m.msg_iovlen = 1;
      return recvmsg(fd, &m, 0);
    });
  }
}

COIR_ROW("close: dup2, dup3, close_range and fclose wake as close does") {
  const descriptor other(COIR_MUST(open("/dev/null", O_RDWR | O_CLOEXEC)));
  for (const kind k : streams) {
    const auto once = [&](const char* what, const std::function<void(descriptor&)>& close_it) {
      close_under_read(o, k, what, close_it);
    };
    once("dup2", [&](descriptor& d) { o.check(dup2(other, d) == d, "dup2"); });
    once("dup3", [&](descriptor& d) { o.check(dup3(other, d, O_CLOEXEC) == d, "dup3"); });
    once("close_range", [&](descriptor& d) {
      const auto n = static_cast<unsigned>(d.release());
      COIR_OBSERVE(o, close_range(n, n, 0));
    });
    once("fclose", [&](descriptor& d) {
      FILE* f = fdopen(d.release(), "r");
      o.check(f != nullptr, "fdopen");
      COIR_OBSERVE(o, fclose(f));
    });
  }
}

COIR_ROW_WITH(own_process, "close: closefrom wakes too") {
  const int high = 900;
  both_ends e = make(kind::pipe);
  COIR_MUST(dup2(e.a, high));
  close_during(
      o, "closefrom", doomed_read(high), [&] { closefrom(high); }, [&] { write_all(e.b, "x"); });
}

COIR_ROW("close: close_range with CLOSE_RANGE_CLOEXEC, a failing dup2 and the close of a twin wake nobody") {
  for (const kind k : streams) {
    both_ends e = make(k);
    descriptor twin(COIR_MUST(dup(e.a)));
    flow waiter(name_of(k), [&](log& r) {
      char data[8];
      COIR_OBSERVE(r, read(e.a, data, sizeof data));
    });
    settle();
    const auto n = static_cast<unsigned>(static_cast<int>(e.a));
    COIR_OBSERVE(o, close_range(n, n, CLOSE_RANGE_CLOEXEC));
    COIR_OBSERVE(o, dup2(closed_number(), e.a));
    COIR_OBSERVE(o, dup3(e.a, e.a, 0));
    o.check(dup2(e.a, e.a) == e.a, "dup2 onto itself does nothing");
    twin.close();
    settle();
    o.say("%s: the waiter %s", name_of(k), waiter.state());
    write_all(e.b, "hello");
  }
}

COIR_ROW("close: a waiting send gets EBADF, or the count of what it had sent") {
  for (const kind k : streams) {
    both_ends e = make(k);
    descriptor reading_twin(COIR_MUST(dup(e.a)));
    const std::size_t filled = fill(e.b);
    const int fd = e.b;
    close_during(
        o, name_of(k),
        [&, fd](log& w) {
          errno = 0;
          const ssize_t n = write(fd, "data", 4);
          w.result("write", n, n < 0 ? errno : untouched);
          if (on_fibers()) w.check(n == -1 && errno == EBADF, "EBADF");
        },
        [&] { e.b.close(); }, [&] { read_all(e.a, filled); });
    both_ends large = make(k);
    set_buffers_if_socket(large.b, 16384);
    const std::string data = pattern(4 << 20);
    const int large_fd = large.b;
    ssize_t sent = 0;
    close_during(
        o, std::string(name_of(k)) + " large",
        [&, large_fd](log& w) {
          sent = write(large_fd, data.data(), data.size());
          if (on_fibers()) w.check(sent > 0 && sent < static_cast<ssize_t>(data.size()), "the partial count");
        },
        [&] { large.b.close(); }, [&] { read_all(large.a, data.size()); });
    if (on_fibers())
      o.check(static_cast<ssize_t>(read_all(large.a).size()) == sent,
              "what was counted arrives, then the end");
  }
}

COIR_ROW("close: a waiting accept gets EBADF") {
  for (int i = 0; i < 2; ++i) {
    listener l;
    const int fd = l.fd;
    const descriptor twin(COIR_MUST(dup(fd)));
    close_during(
        o, i == 0 ? "accept" : "accept4",
        [i, fd](log& r) {
          errno = 0;
          const descriptor to(i == 0 ? accept(fd, nullptr, nullptr)
                                     : accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
          const int error = errno;
          r.say("%s", to >= 0 ? "accepted" : strerrorname_np(error));
          if (on_fibers()) r.check(to == -1 && error == EBADF, "EBADF");
        },
        [&] { l.fd.close(); },
        [&] {
          const descriptor from = tcp_socket();
          connect(from, l.where(), l.size);
        });
  }
}

COIR_ROW("close: a waiting connect gets EBADF") {
  full_listener full;
  descriptor from = tcp_socket();
  const int fd = from;
  const descriptor twin(COIR_MUST(dup(fd)));
  close_during(
      o, "connect",
      [&, fd](log& r) {
        errno = 0;
        const int n = connect(fd, full.where.where(), listener::size);
        r.result("connect", n, n < 0 ? errno : untouched);
        if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
      },
      [&] { from.close(); }, [&] { const descriptor first(accept(full.where.fd, nullptr, nullptr)); });
}

COIR_ROW("close: a waiting poll says POLLNVAL") {
  for (const kind k : streams) {
    both_ends e = make(k);
    const both_ends other = make(k);
    const int fd = e.a;
    close_during(
        o, name_of(k),
        [&, fd](log& r) {
          pollfd f[2] = {{other.a, POLLIN, 0}, {fd, POLLIN, 0}};
          const int n = poll(f, 2, 1500);
          r.say("poll %d, events %x and %x", n, f[0].revents, f[1].revents);
          if (on_fibers()) r.check(n == 1 && f[0].revents == 0 && f[1].revents == POLLNVAL, "POLLNVAL");
        },
        [&] { e.a.close(); }, [&] { write_all(other.b, "x"); });
  }
}

COIR_ROW("close: a waiting select says EBADF") {
  for (const kind k : streams) {
    both_ends e = make(k);
    const both_ends other = make(k);
    const int fd = e.a;
    close_during(
        o, name_of(k),
        [&, fd](log& r) {
          fd_set set;
          FD_ZERO(&set);
          FD_SET(other.a, &set);
          FD_SET(fd, &set);
          timeval t = {1, 500'000};
          errno = 0;
          const int n = select(std::max<int>(fd, other.a) + 1, &set, nullptr, nullptr, &t);
          r.result("select", n, n < 0 ? errno : untouched);
          if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
        },
        [&] { e.a.close(); }, [&] { write_all(other.b, "x"); });
  }
}

COIR_ROW("close: a waiting epoll_wait gets EBADF when its own descriptor goes") {
  both_ends e = make(kind::unix_stream);
  descriptor poller(COIR_MUST(epoll_create1(0)));
  epoll_event event = {};
  event.events = EPOLLIN;
  COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, e.a, &event));
  const int fd = poller;
  close_during(
      o, "epoll_wait",
      [&, fd](log& r) {
        epoll_event found;
        errno = 0;
        const int n = epoll_wait(fd, &found, 1, 1500);
        r.result("epoll_wait", n, n < 0 ? errno : untouched);
        if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
      },
      [&] { poller.close(); }, [&] { write_all(e.b, "x"); });
}

COIR_ROW("close: several waiters of different kinds are all woken") {
  both_ends e = make(kind::tcp);
  const int fd = e.a;
  const std::size_t filled = fill(e.a);
  const auto read_it = [fd](log& r) {
    char data[16];
    errno = 0;
    const ssize_t n = read(fd, data, sizeof data);
    r.say("read: %s", n > 0 ? "data" : n == 0 ? "the end" : strerrorname_np(errno));
  };
  flow first("reader", read_it), second("reader", read_it);
  flow writer("writer", [fd](log& w) {
    errno = 0;
    const ssize_t n = write(fd, "x", 1);
    w.result("write", n, n < 0 ? errno : untouched);
  });
  flow poller("poller", [fd](log& p) {
    pollfd f = {fd, POLLIN, 0};
    p.say("poll %d, events %x", poll(&f, 1, 1500), f.revents);
  });
  settle();
  e.a.close();
  settle();
  const int woken = first.done() + second.done() + writer.done() + poller.done();
  o.say("%d woken", woken);
  if (on_fibers()) o.check(woken == 4, "all four");
  if (woken != 4) {
    write_all(e.b, "xx");
    read_all(e.b, filled);
    settle();
    if (!first.done() || !second.done()) write_all(e.b, std::string(64, 'x'));
  }
}

COIR_ROW("close: a plain thread closes what a flow waits for") {
  for (const kind k : streams) {
    both_ends e = make(k);
    close_during(
        o, name_of(k), doomed_read(e.a),
        [&] {
          const int fd = e.a.release();
          std::thread([fd] { close(fd); }).join();
        },
        [&] { write_all(e.b, "x"); });
  }
}

COIR_ROW("close: a crowd that lingers keeps no look-up and no fsync waiting") {
  constexpr int crowd = 70;
  const listener l(crowd);
  set_buffers(l.fd, 2048);
  std::vector<descriptor> connections, peers;
  for (int i = 0; i < crowd; ++i) {
    connections.push_back(tcp_socket());
    set_buffers(connections.back(), 4096);
    COIR_MUST(connect(connections.back(), l.where(), listener::size));
    peers.emplace_back(COIR_MUST(accept(l.fd, nullptr, nullptr)));
    const linger five_seconds = {1, 5};
    COIR_MUST(setsockopt(connections.back(), SOL_SOCKET, SO_LINGER, &five_seconds, sizeof five_seconds));
  }
  // More than the peers take; once more for what was on its way.
  const std::string data = pattern(4096);
  for (int turn = 0; turn < 2; ++turn) {
    for (const descriptor& c : connections)
      while (send(c, data.data(), data.size(), MSG_DONTWAIT) > 0) {
      }
    nap(20);
  }
  std::vector<std::unique_ptr<flow>> closers;
  for (descriptor& c : connections)
    closers.push_back(std::make_unique<flow>("closer", [fd = c.release()](log&) { close(fd); }));
  settle();
  int waiting = 0;
  for (const auto& closer : closers) waiting += closer->done() ? 0 : 1;
  o.say("%d wait", waiting);
  const stopwatch since;
  addrinfo* found = nullptr;
  o.say("look-up: %d", getaddrinfo("localhost", nullptr, nullptr, &found));
  freeaddrinfo(found);
  const descriptor f = scratch_file("x");
  COIR_OBSERVE(o, fsync(f));
  o.took_no_time(since);
  peers.clear();  // resets the connections
}

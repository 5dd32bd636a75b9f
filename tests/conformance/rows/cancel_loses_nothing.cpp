// Cancellation and timeout scopes in patched calls lose nothing: what came or went before is counted first.
#include <coir/coir.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <threads.h>
#include <unistd.h>

#include <thread>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

char buffer[256];

void still_usable(log& o, const both_ends& e, const std::string& what) {
  write_all(e.b, "whole");
  o.check(read_all(e.a, 5) == "whole", (what + ": usable afterwards, and nothing is lost").c_str());
}

}  // namespace

COIR_ROW_WITH(fibers_only, "cancel: a call that need not wait goes through") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    coir::fiber<void> f = coir::spawn([&] {
      errno = 0;
      o.check(read(e.a, buffer, sizeof buffer) == -1 && errno == ECANCELED, "the waiting one is cancelled");
      write_all(e.b, "hello");
      o.check(read(e.a, buffer, sizeof buffer) == 5, "data that is there is read");
      pollfd p = {e.b, POLLOUT, 0};
      o.check(poll(&p, 1, -1) == 1, "poll finds what is ready");
      o.check(close(dup(e.a)) == 0, "close closes");
    });
    settle();
    f.cancel();
    f.join();
  }
}

COIR_ROW_WITH(fibers_only, "cancel: partial sends and receives are counted first") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_buffers(e.b, 16384);
    const std::string large = pattern(4 << 20);
    ssize_t sent = 0, received = 0;
    int error = 0;
    coir::fiber<void> writer = coir::spawn([&] {
      sent = send(e.b, large.data(), large.size(), 0);
      if (send(e.b, large.data(), large.size(), 0) == -1) error = errno;
    });
    settle();
    writer.cancel();
    writer.join();
    o.check(sent > 0 && sent < static_cast<ssize_t>(large.size()), "a part is sent");
    const bool kept = error == ECANCELED;
    if (kept)
      o.check(
          read_all(e.a, static_cast<std::size_t>(sent)) == large.substr(0, static_cast<std::size_t>(sent)),
          "it arrives");
    const both_ends r = make(k);
    coir::fiber<void> reader = coir::spawn([&] { received = recv(r.a, buffer, 20, MSG_WAITALL); });
    settle();
    write_all(r.b, "seven..");
    settle();
    reader.cancel();
    reader.join();
    o.check(received == 7, "MSG_WAITALL returns what came");
    coir::timeout limit(20ms);
    write_all(r.b, "abc");
    o.check(recv(r.a, buffer, 20, MSG_WAITALL) == 3, "at the end of a timeout scope too");
  }
}

COIR_ROW_WITH(fibers_only, "cancel: data that comes at the same moment is never lost") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    std::size_t sent = 0, received = 0;
    for (int round = 0; round < 200; ++round) {
      coir::fiber<void> reader = coir::spawn([&] {
        char data[16];
        for (ssize_t n; (n = read(e.a, data, sizeof data)) > 0;) received += static_cast<std::size_t>(n);
      });
      coir::this_fiber::yield();
      if (round % 3 == 0) usleep(50);
      if (round % 2 == 0) {
        write_all(e.b, "abc"), sent += 3;
        if (round % 4 == 0) coir::this_fiber::yield();
        reader.cancel();
      } else {
        reader.cancel();
        write_all(e.b, "abc"), sent += 3;
      }
      reader.join();
    }
    set_nonblocking(e.a, true);
    received += read_all(e.a).size();
    o.check(sent == received, (std::string(name_of(k)) + ": sent " + std::to_string(sent) + ", received " +
                               std::to_string(received))
                                  .c_str());
  }
}

COIR_ROW_WITH(fibers_only, "cancel: a connection that comes at the same moment is never lost") {
  const listener l(64);
  int accepted = 0, connected = 0;
  for (int round = 0; round < 60; ++round) {
    coir::fiber<void> server = coir::spawn([&] {
      while (true) {
        const descriptor to(accept(l.fd, nullptr, nullptr));
        if (to < 0) break;
        ++accepted;
      }
    });
    coir::this_fiber::yield();
    const descriptor from = tcp_socket();
    if (round % 2 == 0) server.cancel();
    if (connect(from, l.where(), l.size) == 0) ++connected;
    if (round % 3 == 0) coir::this_fiber::yield();
    server.cancel();
    server.join();
  }
  set_nonblocking(l.fd, true);
  while (true) {
    const descriptor to(accept(l.fd, nullptr, nullptr));
    if (to < 0) break;
    ++accepted;
  }
  o.check(accepted == connected,
          (std::to_string(connected) + " connected, " + std::to_string(accepted) + " accepted").c_str());
}

COIR_ROW_WITH(fibers_only, "cancel: one of two readers goes, the other gets the data") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    ssize_t n = 0;
    const auto read_it = [&] { n += read(e.a, buffer, sizeof buffer) > 0 ? 1 : 0; };
    coir::fiber<void> first = coir::spawn(read_it), second = coir::spawn(read_it);
    settle();
    first.cancel();
    write_all(e.b, "hello");
    second.join();
    first.join();
    o.check(n == 1, "one gets it");
  }
}

COIR_ROW_WITH(fibers_only, "cancel: not under a shield, and afterwards again") {
  const both_ends e = make(kind::tcp);
  ssize_t shielded = 0, bare = 0;
  int error = 0;
  coir::fiber<void> f = coir::spawn([&] {
    {
      const coir::this_fiber::shield shield;
      shielded = read(e.a, buffer, sizeof buffer);
    }
    bare = read(e.a, buffer, sizeof buffer);
    error = errno;
  });
  settle();
  f.cancel();
  settle();
  o.check(!f.ready(), "it waits on");
  write_all(e.b, "hello");
  f.join();
  o.check(shielded == 5 && bare == -1 && error == ECANCELED, "read, then cancelled");
}

COIR_ROW_WITH(fibers_only, "cancel: a timeout scope that is left in time changes nothing") {
  const both_ends e = make(kind::unix_stream);
  for (int i = 0; i < 3; ++i) {
    coir::timeout limit(100ms);
    pollfd p = {e.a, POLLIN, 0};
    o.check(poll(&p, 1, 10) == 0, "poll has its own time");
    write_all(e.b, "x");
    o.check(read(e.a, buffer, 8) == 1, "read");
  }
  coir::timeout outer(40ms);
  {
    coir::timeout inner(10ms);
    errno = 0;
    o.check(read(e.a, buffer, 8) == -1 && errno == ETIMEDOUT && inner.expired() && !outer.expired(),
            "the inner one");
  }
  errno = 0;
  o.check(read(e.a, buffer, 8) == -1 && errno == ETIMEDOUT && outer.expired(), "then the outer one");
}

COIR_ROW_WITH(fibers_only, "cancel: from another thread") {
  const both_ends e = make(kind::unix_stream);
  int error = 0;
  coir::fiber<void> f = coir::spawn([&] {
    if (read(e.a, buffer, sizeof buffer) == -1) error = errno;
  });
  settle();
  std::thread([&] { f.cancel(); }).detach();
  f.join();
  o.check(error == ECANCELED, "ECANCELED");
  still_usable(o, e, "unix stream");
}

COIR_ROW_WITH(fibers_only,
              "close: a reader that was woken for data, and has not run when its number gets a new owner") {
  both_ends first = make(kind::unix_stream), doomed = make(kind::unix_stream),
            fresh = make(kind::unix_stream);
  write_all(fresh.b, "for the new owner");
  const int number = doomed.a;
  ssize_t n = 0;
  int error = 0;
  descriptor again;
  // Both wait; both are woken by one look at the kernel; the first one closes what the second was woken for.
  coir::fiber<void> closer = coir::spawn([&] {
    o.check(recv(first.a, buffer, sizeof buffer, 0) > 0, "the first is woken");
    close(doomed.a.release());
    again = descriptor(fcntl(fresh.a, F_DUPFD_CLOEXEC, number));
  });
  char data[64];
  coir::fiber<void> reader = coir::spawn([&] {
    sockaddr_storage from;
    socklen_t size = sizeof from;
    n = recvfrom(number, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size);
    error = errno;
  });
  settle();
  write_all(first.b, "go");
  write_all(doomed.b, "old");
  closer.join();
  reader.join();
  o.check(again == number, "the number is used again");
  o.check((n == -1 && error == EBADF) || (n == 3 && memcmp(data, "old", 3) == 0),
          "EBADF, or what was its own");
  o.check(bytes_waiting(again) == 17, "the new file has all its data");
}

COIR_ROW_WITH(fibers_only,
              "cancel: a limit that ended a call and is reset at once is an error, not the end of data") {
  for (const kind k : streams)
    for (const bool resets : {false, true}) {
      const both_ends e = make(k);
      coir::timeout* scope = nullptr;
      long got = 0;
      int error = 0;
      coir::fiber<void> reads = coir::spawn([&] {
        coir::timeout limit(20ms);
        scope = &limit;
        errno = 0;
        got = read(e.a, buffer, sizeof buffer);
        error = errno;
        scope = nullptr;
      });
      // Goes on at the moment at which the limit ends the wait.
      const coir::fiber<void> resetter = coir::spawn([&] {
        coir::this_fiber::sleep_for(20ms);
        if (scope == nullptr) return;
        if (resets)
          scope->reset(20ms);
        else
          scope->cancel();
      });
      nap(60);
      if (!reads.ready()) reads.cancel();
      reads.join();
      resetter.join();
      o.check(got == -1, "no end of data");
      o.check(error == ETIMEDOUT || error == ECANCELED, "an interruption");
      still_usable(o, e, "reset");
    }
}

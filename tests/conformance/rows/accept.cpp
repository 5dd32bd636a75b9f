// accept, also on listeners that others share.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

// Counts what may share descriptors with another process; null where there is no coir.
namespace coir::reactor {
extern std::atomic<std::uint32_t> private_epoch __attribute__((weak));
}  // namespace coir::reactor

namespace {

descriptor connected(const listener& l) {
  descriptor from = tcp_socket();
  COIR_MUST(connect(from, l.where(), l.size));
  return from;
}

}  // namespace

COIR_ROW("accept: waits for a connection and tells the address") {
  const listener l;
  for (int i = 0; i < 2; ++i) {
    descriptor from = tcp_socket();
    flow server("server", [&](log& s) {
      sockaddr_in address = {};
      socklen_t size = sizeof address;
      const descriptor to(
          i == 0 ? accept(l.fd, reinterpret_cast<sockaddr*>(&address), &size)
                 : accept4(l.fd, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
      sockaddr_in own = {};
      socklen_t own_size = sizeof own;
      s.check(to >= 0, "accepted");
      getsockname(from, reinterpret_cast<sockaddr*>(&own), &own_size);
      s.say("size %u, the client's port: %s", size, address.sin_port == own.sin_port ? "yes" : "no");
      s.say("close-on-exec %d, non-blocking %d", fcntl(to, F_GETFD), is_nonblocking(to));
    });
    settle();
    o.say("the server %s", server.state());
    COIR_OBSERVE(o, connect(from, l.where(), l.size));
  }
}

COIR_ROW("accept: a connection that waits is taken at once, with a short buffer for the address") {
  const listener l;
  const descriptor from = connected(l);
  sockaddr_in address = {};
  socklen_t size = 4;
  const stopwatch since;
  const descriptor to(accept(l.fd, reinterpret_cast<sockaddr*>(&address), &size));
  o.say("accepted %d, size %u, family %d", to >= 0, size, address.sin_family);
  o.took_no_time(since);
}

COIR_ROW("accept: wrong arguments") {
  const listener l;
  const descriptor from = connected(l);
  COIR_OBSERVE(o, accept4(l.fd, nullptr, nullptr, 0x40000000));
  COIR_OBSERVE(o, accept(from, nullptr, nullptr));
  COIR_OBSERVE(o, accept(tcp_socket(), nullptr, nullptr));
  COIR_OBSERVE(o, accept(-1, nullptr, nullptr));
  COIR_OBSERVE(o, accept(closed_number(), nullptr, nullptr));
  const both_ends p = make(kind::pipe);
  COIR_OBSERVE(o, accept(p.a, nullptr, nullptr));
  const both_ends u = make(kind::udp);
  COIR_OBSERVE(o, accept(u.a, nullptr, nullptr));
}

COIR_ROW("accept: several flows on one listener each get one connection") {
  const listener l;
  constexpr int count = 5;
  std::atomic<int> accepted{0};
  std::vector<std::unique_ptr<flow>> servers;
  for (int i = 0; i < count; ++i)
    servers.push_back(std::make_unique<flow>("server", [&](log& s) {
      const descriptor to(accept(l.fd, nullptr, nullptr));
      s.check(to >= 0, "accepted");
      ++accepted;
    }));
  settle();
  std::vector<descriptor> clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(connected(l));
    if (i == 2) {
      settle();
      o.say("%d of three", accepted.load());
    }
  }
  servers.clear();
  o.say("%d of all", accepted.load());
}

COIR_ROW("accept: a burst of connections is taken whole by two flows") {
  const listener l(64);
  constexpr int count = 40;
  std::atomic<int> accepted{0};
  std::vector<descriptor> clients;
  {
    const auto serve = [&](log&) {
      while (accepted.fetch_add(1) < count) {
        const descriptor to(accept(l.fd, nullptr, nullptr));
        if (to < 0) break;
      }
    };
    flow first("first", serve), second("second", serve);
    settle();
    for (int i = 0; i < count; ++i) clients.push_back(connected(l));
  }
  o.say("%d were wanted", accepted.load() - 2);
  set_nonblocking(l.fd, true);
  COIR_OBSERVE(o, accept(l.fd, nullptr, nullptr));
}

COIR_ROW("accept: a listener shared with another process loses no connection and stalls nobody") {
  const listener l(64);
  constexpr int count = 20;
  int report[2];
  COIR_MUST(pipe2(report, O_CLOEXEC));
  const descriptor in(report[0]);
  descriptor out(report[1]);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {  // takes what it can until it is killed
    for (;;) {
      const int to = accept(l.fd, nullptr, nullptr);
      if (to < 0 || write(out, "c", 1) != 1) _exit(1);
      close(to);
    }
  }
  std::vector<descriptor> clients;
  std::atomic<int> other_work{0};
  std::atomic<bool> stop{false};
  flow server("server", [&](log&) {
    for (;;) {
      const descriptor to(accept(l.fd, nullptr, nullptr));
      if (stop || write(out, "p", 1) != 1) break;
    }
  });
  flow worker("worker", [&](log&) {
    while (!stop) {
      usleep(1000);
      ++other_work;
    }
  });
  settle();
  const int before = other_work;
  for (int i = 0; i < count; ++i) {
    clients.push_back(connected(l));
    usleep(3000);
  }
  const std::string takers = read_all(in, count);
  o.check(other_work - before > 10, "the other flow went on");
  o.say("%zu connections were taken", takers.size());
  kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0) {
  }
  stop = true;
  // The kernel lets go of what a killed process waited for by io_uring a moment later: that may take one yet.
  while (std::string(server.state()) != "returned") {
    clients.push_back(connected(l));
    nap(20);
  }
}

COIR_ROW("accept: no child that may share the listener goes unnoticed, however it is made") {
  if (&coir::reactor::private_epoch == nullptr) return;  // there is nothing to take note
  const auto noticed = [&](const char* what, auto make_child) {
    const std::uint32_t before = coir::reactor::private_epoch;
    make_child();
    o.check(coir::reactor::private_epoch != before, what);
  };
  const char* const arguments[] = {"true", nullptr};
  auto* const argv = const_cast<char* const*>(arguments);
  const auto reap = [](pid_t child) { waitpid(child, nullptr, 0); };
  pid_t child = 0;
  noticed("posix_spawn", [&] { posix_spawn(&child, "/bin/true", nullptr, nullptr, argv, environ); });
  reap(child);
  noticed("posix_spawnp", [&] { posix_spawnp(&child, "true", nullptr, nullptr, argv, environ); });
  reap(child);
  noticed("vfork", [&] {
    child = vfork();
    if (child == 0) {
      execv("/bin/true", argv);
      _exit(1);
    }
    reap(child);
  });
  noticed("system", [] { system("true"); });
  noticed("popen", [] { pclose(popen("true", "r")); });
}

COIR_ROW("accept: the connection that is gone before it is accepted is still one") {
  const listener l;
  descriptor from = connected(l);
  write_all(from, "bye");
  from.close();
  const descriptor to(accept(l.fd, nullptr, nullptr));
  char data[8];
  COIR_OBSERVE(o, read(to, data, sizeof data));
  COIR_OBSERVE(o, read(to, data, sizeof data));
}

COIR_ROW("accept: shutdown of the listener ends it with EINVAL") {
  const listener l;
  flow server("server", [&](log& s) { COIR_OBSERVE(s, accept(l.fd, nullptr, nullptr)); });
  settle();
  o.say("the server %s", server.state());
  COIR_OBSERVE(o, shutdown(l.fd, SHUT_RDWR));
}

COIR_ROW("accept: too many open descriptors say EMFILE at once") {
  // In a process of its own: the limit is the process's.
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    const listener l;
    const descriptor from = connected(l);
    std::vector<int> fillers;
    for (int fd; (fd = dup(0)) >= 0;) fillers.push_back(fd);
    errno = 0;
    const int r = accept(l.fd, nullptr, nullptr);
    const int error = errno;
    _exit(r < 0 && error == EMFILE ? 0 : 1);
  }
  int status = -1;
  while (waitpid(child, &status, 0) < 0) {
  }
  o.say("status %d", status);
}

COIR_ROW("accept: many connections of a unix listener in order") {
  const scratch_path path("listener");
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  const descriptor l(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  COIR_MUST(bind(l, reinterpret_cast<const sockaddr*>(&address), size));
  COIR_MUST(listen(l, 2));
  constexpr int count = 12;
  flow server("server", [&](log& s) {
    for (int i = 0; i < count; ++i) {
      const descriptor to(accept(l, nullptr, nullptr));
      int number = -1;
      if (read(to, &number, sizeof number) != sizeof number || number != i)
        s.say("%d came as number %d", number, i);
    }
  });
  settle();
  std::vector<descriptor> clients;
  for (int i = 0; i < count; ++i) {
    clients.emplace_back(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
    COIR_OBSERVE(o, connect(clients.back(), reinterpret_cast<const sockaddr*>(&address), size));
    if (write(clients.back(), &i, sizeof i) != sizeof i) break;
  }
}

COIR_ROW_WITH(own_process,
              "exit: the port that a flow accepted at is free at once, however the process ends") {
  enum class way { exit, _exit, _Exit, quick_exit };
  for (const way w : {way::exit, way::_exit, way::_Exit, way::quick_exit}) {
    listener l;
    const pid_t child = COIR_MUST(fork());
    if (child == 0) {
      flow acceptor("acceptor", [&](log&) { accept(l.fd, nullptr, nullptr); });
      flow other("other", [&](log&) { accept(l.fd, nullptr, nullptr); });
      settle();
      if (w == way::exit) exit(3);
      if (w == way::_exit) _exit(3);
      if (w == way::_Exit) _Exit(3);
      quick_exit(3);
    }
    l.fd.close();
    int status = 0;
    COIR_MUST(waitpid(child, &status, 0));
    o.say("ended with %d", WEXITSTATUS(status));
    const descriptor again = tcp_socket();
    COIR_OBSERVE(o, bind(again, l.where(), l.size));
    COIR_OBSERVE(o, listen(again, 1));
  }
}

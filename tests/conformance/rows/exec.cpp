// Another program in the process's place, beside flows that wait.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

constexpr int ways = 9;

// Each of libc's names for it.
int exec(int way, const char* path, const char* argument) {
  const char* const words[] = {"sleep", argument, nullptr};
  auto* const argv = const_cast<char* const*>(words);
  switch (way) {
    case 0:
      return execve(path, argv, environ);
    case 1:
      return execv(path, argv);
    case 2:
      return execvp(path, argv);
    case 3:
      return execvpe(path, argv, environ);
    case 4:
      return execl(path, words[0], argument, nullptr);
    case 5:
      return execle(path, words[0], argument, nullptr, environ);
    case 6:
      return execlp(path, words[0], argument, nullptr);
    case 7:
      return execveat(AT_FDCWD, path, argv, environ, 0);
    default: {
      const descriptor file(open(path, O_RDONLY | O_CLOEXEC));
      return fexecve(file, argv, environ);
    }
  }
}

// The process that has become `sleep`, whose flows were in accept and recv.
pid_t start(const listener& l, int way, int report) {
  const pid_t child = COIR_MUST(fork());
  if (child != 0) return child;
  const both_ends e = make(kind::unix_stream);
  char data[8];
  flow first("first", [&](log&) { accept(l.fd, nullptr, nullptr); });
  flow second("second", [&](log&) { accept(l.fd, nullptr, nullptr); });
  flow third("third", [&](log&) { recv(e.a, data, sizeof data, 0); });
  settle();
  exec(way, "/bin/sleep", "5");
  write_all(report, "it failed");
  _exit(1);
}

}  // namespace

COIR_ROW_WITH(own_process | no_ticker,
              "exec: the port that a flow accepted at is free at once for the new program") {
  for (int i = 0; i < 2 * ways; ++i) {
    // Before the listener: the exec closes it after that, so that its end tells that the port is free.
    int report[2];
    COIR_MUST(pipe2(report, O_CLOEXEC));
    const descriptor in(report[0]);
    descriptor out(report[1]);
    listener l;
    const pid_t child = start(l, i % ways, out);
    l.fd.close();
    out.close();
    const std::string failure = read_all(in);  // ends as the new program begins
    const descriptor again = tcp_socket();
    COIR_OBSERVE(o, bind(again, l.where(), l.size));
    COIR_OBSERVE(o, listen(again, 1));
    o.say("%s", failure.c_str());
    kill(child, SIGKILL);
    while (waitpid(child, nullptr, 0) < 0) {
    }
  }
}

COIR_ROW_WITH(own_process | no_ticker, "exec: one that fails leaves every wait of the process as it was") {
  const listener l;
  full_listener full;
  const both_ends tcp = make(kind::tcp), local = make(kind::unix_stream), pipe = make(kind::pipe),
                  late = make(kind::unix_stream), polled = make(kind::pipe), silent = make(kind::pipe),
                  shared = make(kind::unix_datagram);
  set_timeout(late.a, SO_RCVTIMEO, 600'000);
  const descriptor client = tcp_socket(), stranger = tcp_socket();
  const auto receives = [](log& f, int fd) {
    char data[8] = {};
    COIR_OBSERVE(f, recv(fd, data, sizeof data, 0));
    f.say("%s", data);
  };
  {
    flow acceptor("acceptor", [&](log& f) {
      const descriptor to(accept(l.fd, nullptr, nullptr));
      f.check(to >= 0, "accepted");
    });
    flow connector("connector", [&](log& f) {
      COIR_OBSERVE(f, connect(client, full.where.where(), listener::size));
      receives(f, client);
    });
    flow of_tcp("tcp", [&](log& f) { receives(f, tcp.a); });
    flow of_local("local", [&](log& f) { receives(f, local.a); });
    flow of_pipe("pipe", [&](log& f) {
      char data[8] = {};
      COIR_OBSERVE(f, read(pipe.a, data, sizeof data));
    });
    flow one("one of two", [&](log& f) { receives(f, shared.a); });
    flow other("other of two", [&](log& f) { receives(f, shared.a); });
    flow until_late("late", [&](log& f) {
      const stopwatch since;
      char data[8];
      COIR_OBSERVE(f, recv(late.a, data, sizeof data, 0));
      f.took(since, 600);
    });
    flow poller("poller", [&](log& f) {
      pollfd p[] = {{silent.a, POLLIN, 0}, {polled.a, POLLIN, 0}};
      COIR_OBSERVE(f, poll(p, 2, -1));
      f.say("%x, %x", p[0].revents, p[1].revents);
    });
    flow timed_poller("timed poller", [&](log& f) {
      const stopwatch since;
      pollfd p = {silent.a, POLLIN, 0};
      COIR_OBSERVE(f, poll(&p, 1, 500));
      f.took(since, 500);
    });
    flow sleeper("sleeper", [&](log& f) {
      const stopwatch since;
      COIR_OBSERVE(f, usleep(500'000));
      f.took(since, 500);
    });
    settle();
    for (int way = 0; way < ways - 1; ++way) {
      COIR_OBSERVE(o, exec(way, "/nowhere/at/all", "5"));
      usleep(1000);
    }
    COIR_OBSERVE(o, exec(ways - 1, "/nowhere/at/all", "5"));
    for (int i = 0; i < 50; ++i) exec(0, "/nowhere/at/all", "5");
    o.say("%s %s %s %s", acceptor.state(), of_tcp.state(), of_pipe.state(), poller.state());
    COIR_OBSERVE(o, connect(stranger, l.where(), l.size));
    write_all(tcp.b, "tcp");
    write_all(local.b, "local");
    write_all(pipe.b, "pipe");
    write_all(polled.b, "polled");
    write_all(shared.b, "same");
    write_all(shared.b, "same");
    const descriptor first(accept(full.where.fd, nullptr, nullptr));
    const descriptor second(accept(full.where.fd, nullptr, nullptr));
    write_all(second, "hello");
  }
}

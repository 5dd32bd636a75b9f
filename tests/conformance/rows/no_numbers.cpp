// Calls that wait while the process has no descriptor number left, from its first wait on.
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// Every number below a limit of `most` is taken while it lives.
class all_numbers {
 public:
  explicit all_numbers(rlim_t most = 100) {
    const rlimit few = {most, most};
    COIR_MUST(setrlimit(RLIMIT_NOFILE, &few));
    for (int fd = dup(0); fd >= 0; fd = dup(0)) taken_.emplace_back(fd);
  }

 private:
  std::vector<descriptor> taken_;
};

}  // namespace

COIR_ROW_WITH(own_process, "no descriptor left: what waits first waits as ever, and each for its own") {
  both_ends pipe = make(kind::pipe), pair = make(kind::unix_stream), other = make(kind::udp);
  const listener l;
  const descriptor from = tcp_socket();
  const descriptor poller(COIR_MUST(epoll_create1(0)));
  epoll_event event = {};
  event.events = EPOLLIN;
  COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, other.a, &event));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  COIR_MUST(sigprocmask(SIG_BLOCK, &set, nullptr));
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    nap(100);
    _exit(4);
  }
  char data[64];
  {
    const all_numbers taken;
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(pipe.a, data, 8)); });
    flow receiver("receiver", [&](log& r) { COIR_OBSERVE(r, recv(pair.a, data + 8, 8, 0)); });
    flow polling("polling", [&](log& r) {
      pollfd p = {l.fd, POLLIN, 0};
      COIR_OBSERVE(r, poll(&p, 1, 3000));
      COIR_OBSERVE(r, accept(l.fd, nullptr, nullptr));
    });
    flow waiting("waiting", [&](log& r) {
      epoll_event found;
      COIR_OBSERVE(r, epoll_wait(poller, &found, 1, 3000));
    });
    flow for_signal("for a signal", [&](log& r) {
      int number = 0;
      COIR_OBSERVE(r, sigwait(&set, &number));
    });
    flow limited("limited", [&](log& r) {
      set_timeout(other.b, SO_RCVTIMEO, 30'000);
      const stopwatch since;
      COIR_OBSERVE(r, recv(other.b, data + 16, 8, 0));
      r.took(since, 30);
    });
    flow parent("parent", [&](log& r) {
      int status = 0;
      r.say("the child %s", waitpid(child, &status, 0) == child ? "ended" : "is lost");
      r.say("with %d", WEXITSTATUS(status));
    });
    settle();
    o.say("the reader %s, the receiver %s", reader.state(), receiver.state());
    limited.join();
    COIR_OBSERVE(o, connect(from, l.where(), l.size));
    write_all(pipe.b, "hi");
    write_all(pair.b, "you");
    write_all(other.b, "x");
    kill(getpid(), SIGUSR1);
  }
  // There are numbers again.
  flow reader("reader, later", [&](log& r) { COIR_OBSERVE(r, read(pipe.a, data, 8)); });
  settle();
  o.say("the reader %s", reader.state());
  write_all(pipe.b, "again");
}

COIR_ROW_WITH(own_process,
              "no descriptor left: a wait that began then goes on when there are numbers again") {
  both_ends e = make(kind::tcp);
  char data[8];
  flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, data, sizeof data)); });
  {
    const all_numbers taken;
    settle();
    nap(10);
  }
  nap(20);
  o.say("the reader %s", reader.state());
  const both_ends new_ones = make(kind::pipe);
  flow other("other", [&](log& r) { COIR_OBSERVE(r, read(new_ones.a, data, sizeof data)); });
  settle();
  write_all(new_ones.b, "new");
  write_all(e.b, "hello");
}

// poll and ppoll: the kernel's answers, whoever waits.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("poll: negative descriptors are ignored") {
  const both_ends e = make(kind::unix_stream);
  write_all(e.b, "x");
  pollfd f[3] = {{-1, POLLIN, 77}, {e.a, POLLIN, 77}, {-5, POLLOUT, 77}};
  COIR_OBSERVE(o, poll(f, 3, -1));
  o.say("events %x %x %x", f[0].revents, f[1].revents, f[2].revents);
  const stopwatch since;
  f[1].fd = -1;
  COIR_OBSERVE(o, poll(f, 3, 50));
  o.took(since, 50);
  o.say("events %x %x %x", f[0].revents, f[1].revents, f[2].revents);
}

COIR_ROW("poll: no descriptors sleep") {
  stopwatch since;
  COIR_OBSERVE(o, poll(nullptr, 0, 50));
  o.took(since, 50), since.restart();
  const timespec t = {0, 20'500'000};
  COIR_OBSERVE(o, ppoll(nullptr, 0, &t, nullptr));
  o.took(since, 20.5), since.restart();
  COIR_OBSERVE(o, poll(nullptr, 0, 0));
  o.took_no_time(since);
}

COIR_ROW("poll: any negative timeout is forever") {
  for (const int timeout : {-1, -2, -100'000, INT_MIN}) {
    const both_ends e = make(kind::tcp);
    flow poller("poller", [&](log& p) {
      pollfd f = {e.a, POLLIN, 0};
      COIR_OBSERVE(p, poll(&f, 1, timeout));
    });
    settle();
    o.say("%d: the poller %s", timeout, poller.state());
    write_all(e.b, "x");
  }
  const both_ends e = make(kind::tcp);
  flow poller("poller", [&](log& p) {
    pollfd f = {e.a, POLLIN, 0};
    COIR_OBSERVE(p, ppoll(&f, 1, nullptr, nullptr));
  });
  settle();
  o.say("the poller %s", poller.state());
  write_all(e.b, "x");
}

COIR_ROW("poll: a closed descriptor is POLLNVAL at once, and counted") {
  const both_ends e = make(kind::pipe);
  pollfd f[2] = {{closed_number(), POLLIN, 0}, {e.a, POLLIN, 0}};
  const stopwatch since;
  COIR_OBSERVE(o, poll(f, 2, -1));
  o.say("events %x %x", f[0].revents, f[1].revents);
  f[0].events = 0;
  COIR_OBSERVE(o, poll(f, 1, 1000));
  o.say("events %x", f[0].revents);
  o.took_no_time(since);
}

COIR_ROW("poll: each end of each kind tells what it tells") {
  for (const kind k :
       {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::unix_packets, kind::udp}) {
    both_ends e = make(k);
    constexpr short all =
        POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND;
    pollfd f[2] = {{e.a, all, 0}, {e.b, all, 0}};
    const auto look = [&](const char* when) {
      const int n = poll(f, 2, 20);
      o.say("%s, %s: %d, events %x %x", name_of(k), when, n, f[0].revents, f[1].revents);
    };
    look("fresh");
    write_all(e.b, "x");
    look("written");
    if (k != kind::pipe) {
      shutdown(e.b, SHUT_WR);
      look("half closed");
    }
    e.b.close();
    f[1].fd = -1;
    look("closed");
    read_all(e.a, 1);
    look("drained");
  }
}

COIR_ROW("poll: waits for each kind of event") {
  const auto wait_for = [&](const char* what, kind k, short events, auto cause) {
    both_ends e = make(k);
    if ((events & (POLLOUT | POLLWRNORM)) != 0) fill(e.a);
    stopwatch since;
    {
      flow poller(what, [&](log& p) {
        pollfd f = {e.a, events, 0};
        COIR_OBSERVE(p, poll(&f, 1, 900));
        p.say("events %x", f.revents);
        p.took_no_time(since);
      });
      settle();
      o.say("%s: the poller %s", what, poller.state());
      since.restart();
      cause(e);
    }
  };
  wait_for("in", kind::tcp, POLLIN, [](both_ends& e) { write_all(e.b, "x"); });
  wait_for("read normal", kind::tcp, POLLRDNORM, [](both_ends& e) { write_all(e.b, "x"); });
  wait_for("read normal of a pipe", kind::pipe, POLLRDNORM, [](both_ends& e) { write_all(e.b, "x"); });
  wait_for("urgent", kind::tcp, POLLPRI, [](both_ends& e) { send(e.b, "!", 1, MSG_OOB); });
  wait_for("read hang-up", kind::tcp, POLLRDHUP, [](both_ends& e) { shutdown(e.b, SHUT_WR); });
  wait_for("read hang-up of unix", kind::unix_stream, POLLRDHUP,
           [](both_ends& e) { shutdown(e.b, SHUT_WR); });
  wait_for("nothing but hang-up", kind::pipe, 0, [](both_ends& e) { e.b.close(); });
  wait_for("nothing but hang-up of unix", kind::unix_stream, 0, [](both_ends& e) { e.b.close(); });
  wait_for("reset", kind::tcp, 0, [](both_ends& e) {
    const linger off = {1, 0};
    COIR_MUST(setsockopt(e.b, SOL_SOCKET, SO_LINGER, &off, sizeof off));
    e.b.close();
  });
  wait_for("out", kind::unix_stream, POLLOUT,
           [](both_ends& e) { read_all(e.b, static_cast<std::size_t>(bytes_waiting(e.b))); });
  wait_for("out of tcp", kind::tcp, POLLOUT, [](both_ends& e) {
    char data[65536];
    for (int i = 0; i < 40; ++i, usleep(1000))
      while (recv(e.b, data, sizeof data, MSG_DONTWAIT) > 0) {
      }
  });
  wait_for("write normal", kind::unix_stream, POLLWRNORM,
           [](both_ends& e) { read_all(e.b, static_cast<std::size_t>(bytes_waiting(e.b))); });
}

COIR_ROW("poll: the writing end of a full pipe, and of one without readers") {
  both_ends e = make(kind::pipe);
  const std::size_t filled = fill(e.b);
  {
    flow poller("poller", [&](log& p) {
      pollfd f = {e.b, POLLOUT, 0};
      COIR_OBSERVE(p, poll(&f, 1, 900));
      p.say("events %x", f.revents);
    });
    settle();
    o.say("the poller %s", poller.state());
    read_all(e.a, filled);
  }
  fill(e.b);
  flow poller("second poller", [&](log& p) {
    pollfd f = {e.b, POLLOUT, 0};
    COIR_OBSERVE(p, poll(&f, 1, 900));
    p.say("events %x", f.revents);
  });
  settle();
  e.a.close();
}

COIR_ROW("poll: a timeout passes, not early; one of zero does not wait") {
  const both_ends e = make(kind::unix_stream);
  pollfd f = {e.a, POLLIN, 77};
  stopwatch since;
  COIR_OBSERVE(o, poll(&f, 1, 50));
  o.took(since, 50);
  o.say("events %x", f.revents);
  since.restart();
  COIR_OBSERVE(o, poll(&f, 1, 0));
  o.took_no_time(since);
  const timespec t = {0, 1'234'567};
  since.restart();
  COIR_OBSERVE(o, ppoll(&f, 1, &t, nullptr));
  o.took(since, 1.234567);
  o.say("%ld s %ld ns stay as they were", static_cast<long>(t.tv_sec), t.tv_nsec);
}

COIR_ROW("poll: a loop with timeout 0 lets others run") {
  const both_ends e = make(kind::unix_stream);
  flow writer("writer", [&](log&) {
    usleep(20'000);
    write_all(e.b, "x");
  });
  pollfd f = {e.a, POLLIN, 0};
  int rounds = 0;
  while (poll(&f, 1, 0) == 0 && rounds < 100'000'000) ++rounds;
  o.say("events %x", f.revents);
}

COIR_ROW("poll: two writers make two events of one call") {
  const both_ends one = make(kind::unix_stream), two = make(kind::pipe);
  write_all(one.b, "x");
  write_all(two.b, "x");
  pollfd f[3] = {{one.a, POLLIN, 0}, {two.a, POLLIN, 0}, {one.b, POLLIN, 0}};
  COIR_OBSERVE(o, poll(f, 3, -1));
  o.say("events %x %x %x", f[0].revents, f[1].revents, f[2].revents);
}

COIR_ROW("poll: one descriptor several times") {
  const both_ends e = make(kind::tcp);
  flow poller("poller", [&](log& p) {
    pollfd f[3] = {{e.a, POLLIN, 0}, {e.a, POLLIN | POLLRDHUP, 0}, {e.a, POLLPRI, 0}};
    COIR_OBSERVE(p, poll(f, 3, 900));
    p.say("events %x %x %x", f[0].revents, f[1].revents, f[2].revents);
  });
  settle();
  write_all(e.b, "x");
}

COIR_ROW("poll: three hundred descriptors, of which the last wakes") {
  std::vector<both_ends> pairs;
  std::vector<pollfd> f;
  for (int i = 0; i < 300; ++i) {
    pairs.push_back(make(i % 3 == 0 ? kind::pipe : kind::unix_stream));
    f.push_back({pairs.back().a, POLLIN, 0});
  }
  flow poller("poller", [&](log& p) {
    for (int i = 0; i < 3; ++i) {
      const long n = COIR_OBSERVE(p, poll(f.data(), f.size(), 900));
      for (std::size_t at = 0; n > 0 && at < f.size(); ++at)
        if (f[at].revents != 0) {
          p.say("number %zu, events %x", at, f[at].revents);
          read_all(f[at].fd, 1);
        }
    }
  });
  for (const std::size_t at : {std::size_t{299}, std::size_t{0}, std::size_t{150}}) {
    settle();
    write_all(pairs[at].b, "x");
  }
}

COIR_ROW("poll: regular files and directories are always ready, whatever is asked") {
  const descriptor file = scratch_file("content"), directory(COIR_MUST(open("/", O_RDONLY | O_DIRECTORY)));
  const both_ends e = make(kind::unix_stream);
  pollfd f[3] = {{file, POLLIN | POLLOUT, 0}, {directory, POLLIN, 0}, {e.a, POLLIN, 0}};
  stopwatch since;
  COIR_OBSERVE(o, poll(f, 3, -1));
  o.say("events %x %x %x", f[0].revents, f[1].revents, f[2].revents);
  o.took_no_time(since);
  f[0].events = POLLPRI;
  f[1].events = 0;
  since.restart();
  COIR_OBSERVE(o, poll(f, 3, 50));
  o.took(since, 50);
  flow writer("writer", [&](log&) {
    usleep(30'000);
    write_all(e.b, "x");
  });
  COIR_OBSERVE(o, poll(f, 3, 900));
  o.say("events %x %x %x", f[0].revents, f[1].revents, f[2].revents);
}

COIR_ROW("poll: eventfd, timerfd, a terminal, an epoll set, a listener") {
  const descriptor event(eventfd(0, 0)), timer(timerfd_create(CLOCK_MONOTONIC, 0)),
      terminal(open("/dev/ptmx", O_RDWR | O_NOCTTY)), poller(epoll_create1(0));
  const listener l;
  const itimerspec t = {{0, 0}, {0, 30'000'000}};
  const stopwatch since;
  COIR_MUST(timerfd_settime(timer, 0, &t, nullptr));
  epoll_event in = {};
  in.events = EPOLLIN;
  COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, event, &in));
  pollfd f[4] = {{event, POLLIN, 0}, {timer, POLLIN, 0}, {poller, POLLIN, 0}, {l.fd, POLLIN, 0}};
  COIR_OBSERVE(o, poll(f, 4, 900));
  o.took(since, 30);
  o.say("events %x %x %x %x", f[0].revents, f[1].revents, f[2].revents, f[3].revents);
  f[1].fd = -1;
  flow waiter("waiter", [&](log& w) {
    COIR_OBSERVE(w, poll(f, 4, 900));
    w.say("events %x %x %x %x", f[0].revents, f[1].revents, f[2].revents, f[3].revents);
  });
  settle();
  COIR_OBSERVE(o, eventfd_write(event, 1));
  waiter.join();
  f[0].fd = f[2].fd = -1;
  flow acceptor("acceptor", [&](log& w) {
    COIR_OBSERVE(w, poll(f, 4, 900));
    w.say("events %x %x %x %x", f[0].revents, f[1].revents, f[2].revents, f[3].revents);
  });
  settle();
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
}

COIR_ROW_WITH(bad_reads, "poll: wrong arguments") {
  const both_ends e = make(kind::pipe);
  pollfd f = {e.a, POLLIN, 0};
  COIR_OBSERVE(o, poll(bad_pointer<pollfd>(0), 1, 0));
  COIR_OBSERVE(o, poll(bad_pointer<pollfd>(8), 1, -1));
  rlimit limit;
  COIR_MUST(getrlimit(RLIMIT_NOFILE, &limit));
  COIR_OBSERVE(o, poll(&f, limit.rlim_cur + 1, 0));
  const timespec negative = {-1, 0}, large = {0, 1'000'000'000};
  COIR_OBSERVE(o, ppoll(&f, 1, &negative, nullptr));
  COIR_OBSERVE(o, ppoll(&f, 1, &large, nullptr));
}

COIR_ROW("poll: the descriptor is read by another before the poller runs") {
  const both_ends e = make(kind::unix_stream);
  flow poller("poller", [&](log& p) {
    pollfd f = {e.a, POLLIN, 0};
    const stopwatch since;
    char data[8];
    // Ready or not: what matters is that the answer is true, and that it waits on if not.
    const int n = poll(&f, 1, 100);
    if (n == 1) recv(e.a, data, sizeof data, MSG_DONTWAIT);
    p.check(n == 1 || since.milliseconds() >= 100, "the whole time passes if nothing comes");
  });
  settle();
  write_all(e.b, "x");
  char data[8];
  recv(e.a, data, sizeof data, MSG_DONTWAIT);
}

COIR_ROW("ppoll: a mask is in force during the call only, for each caller its own") {
  sigset_t block, before, now, none;
  sigemptyset(&block);
  sigemptyset(&none);
  sigaddset(&block, SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &block, &before);
  const timespec first_time = {0, 60'000'000}, second_time = {0, 120'000'000};
  const auto member = [](const sigset_t& s) { return sigismember(&s, SIGUSR1) != 0 ? "yes" : "no"; };
  {
    flow first("first", [&](log& r) {
      sigset_t mask, left;
      sigfillset(&mask);
      COIR_OBSERVE(r, ppoll(nullptr, 0, &first_time, &mask));
      pthread_sigmask(SIG_SETMASK, nullptr, &left);
      r.say("afterwards USR1 is blocked: %s, USR2: %s", member(left),
            sigismember(&left, SIGUSR2) != 0 ? "yes" : "no");
    });
    usleep(20'000);
    flow second("second", [&](log& r) {
      sigset_t left;
      COIR_OBSERVE(r, ppoll(nullptr, 0, &second_time, &none));
      pthread_sigmask(SIG_SETMASK, nullptr, &left);
      r.say("afterwards USR1 is blocked: %s, USR2: %s", member(left),
            sigismember(&left, SIGUSR2) != 0 ? "yes" : "no");
    });
    usleep(20'000);
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    o.say("meanwhile, for others, USR1 is blocked: %s", member(now));
  }
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  o.say("at the end USR1 is blocked: %s, USR2: %s", member(now),
        sigismember(&now, SIGUSR2) != 0 ? "yes" : "no");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

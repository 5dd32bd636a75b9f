// EINTR: which waits a signal handler ends, and which go on.
//
// A signal is sent by a timer to the thread that runs the flow, while it sleeps.
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

volatile sig_atomic_t handled;

void count(int) {
  handled = handled + 1;
}

// Handles SIGUSR1 while it lives, with `flags`.
class handler {
 public:
  explicit handler(int flags) {
    handled = 0;
    struct sigaction action = {};
    action.sa_handler = count;
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, &before_);
  }
  ~handler() { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_;
};

// Sends SIGUSR1 to the thread that made it, after `ms` and then every `ms`, until it is gone.
class alarm_clock {
 public:
  explicit alarm_clock(long ms, bool again = false) {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = gettid();
    COIR_MUST(timer_create(CLOCK_MONOTONIC, &event, &timer_));
    const timespec period = {0, ms * 1'000'000};
    const itimerspec t = {again ? period : timespec{}, period};
    COIR_MUST(timer_settime(timer_, 0, &t, nullptr));
  }
  ~alarm_clock() { timer_delete(timer_); }
  alarm_clock(const alarm_clock&) = delete;
  alarm_clock& operator=(const alarm_clock&) = delete;

 private:
  timer_t timer_;
};

// Makes the call while a signal comes after 40 ms.
template <class Call>
void interrupted(log& o, const char* what, Call call) {
  handled = 0;
  const stopwatch since;
  const alarm_clock clock(40);
  errno = untouched;
  const long r = call();
  o.result(what, r, errno);
  o.took(since, 40);
  o.say("handled %d", handled);
}

}  // namespace

COIR_ROW_WITH(no_ticker, "EINTR: nanosleep and clock_nanosleep tell the time left") {
  for (const int flags : {0, SA_RESTART}) {
    const handler h(flags);
    timespec t = {0, 500'000'000}, left = {};
    stopwatch since;
    const auto check_left = [&] {
      o.left(since, 500, static_cast<double>(left.tv_sec) * 1e3 + static_cast<double>(left.tv_nsec) / 1e6);
      left = {};
      since.restart();
    };
    interrupted(o, "nanosleep", [&] { return nanosleep(&t, &left); });
    check_left();
    interrupted(o, "clock_nanosleep", [&] {
      const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &left);
      return error == EINTR ? -42 : error;
    });
    check_left();
    interrupted(o, "thrd_sleep", [&] { return thrd_sleep(&t, &left) == -1 ? -42 : 0; });
    check_left();
    interrupted(o, "clock_nanosleep_absolute", [&] {
      timespec at;
      clock_gettime(CLOCK_MONOTONIC, &at);
      ++at.tv_sec;
      const int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, &left);
      return error == EINTR ? -42 : error;
    });
    o.say("left %ld s %ld ns", static_cast<long>(left.tv_sec), left.tv_nsec);
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: usleep fails, sleep returns the seconds left") {
  for (const int flags : {0, SA_RESTART}) {
    const handler h(flags);
    interrupted(o, "usleep", [&] { return usleep(500'000); });
    handled = 0;
    stopwatch since;
    {
      const alarm_clock clock(40);
      o.say("sleep %u", sleep(5));
    }
    o.took(since, 40);
    since.restart();
    const alarm_clock clock(40);
    o.say("sleep %u", sleep(1));
    o.took(since, 40);
    o.say("handled %d", handled);
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: poll, select and epoll_wait fail, whatever SA_RESTART says") {
  for (const int flags : {0, SA_RESTART}) {
    const handler h(flags);
    const both_ends e = make(kind::unix_stream);
    pollfd f = {e.a, POLLIN, 0};
    interrupted(o, "poll", [&] { return poll(&f, 1, 500); });
    interrupted(o, "poll_of_nothing", [&] { return poll(nullptr, 0, 500); });
    interrupted(o, "ppoll", [&] { return ppoll(&f, 1, nullptr, nullptr); });
    fd_set in;
    FD_ZERO(&in);
    FD_SET(e.a, &in);
    timeval t = {1, 0};
    const stopwatch since;
    interrupted(o, "select", [&] { return select(e.a + 1, &in, nullptr, nullptr, &t); });
    o.left(since, 1000, static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3);
    interrupted(o, "pselect", [&] { return pselect(e.a + 1, &in, nullptr, nullptr, nullptr, nullptr); });
    const descriptor poller(COIR_MUST(epoll_create1(0)));
    epoll_event event;
    interrupted(o, "epoll_wait", [&] { return epoll_wait(poller, &event, 1, 500); });
    interrupted(o, "epoll_pwait2", [&] { return epoll_pwait2(poller, &event, 1, nullptr, nullptr); });
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: pause") {
  for (const int flags : {0, SA_RESTART}) {
    const handler h(flags);
    interrupted(o, "pause", [&] { return pause(); });
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: calls on sockets with a timeout fail, whatever SA_RESTART says") {
  for (const int flags : {0, SA_RESTART}) {
    const handler h(flags);
    for (const kind k : sockets) {
      const both_ends e = make(k);
      char data[8];
      set_timeout(e.a, SO_RCVTIMEO, 400'000);
      interrupted(o, "recv", [&] { return recv(e.a, data, sizeof data, 0); });
      interrupted(o, "read", [&] { return read(e.a, data, sizeof data); });
      interrupted(o, "recv_all", [&] { return recv(e.a, data, sizeof data, MSG_WAITALL); });
      fill(e.b);
      set_timeout(e.b, SO_SNDTIMEO, 400'000);
      interrupted(o, "send", [&] { return send(e.b, data, sizeof data, 0); });
    }
    const listener l;
    set_timeout(l.fd, SO_RCVTIMEO, 400'000);
    interrupted(o, "accept", [&] { return accept(l.fd, nullptr, nullptr); });
    full_listener full;
    const descriptor from = tcp_socket();
    set_timeout(from, SO_SNDTIMEO, 400'000);
    interrupted(o, "connect", [&] { return connect(from, full.where.where(), listener::size); });
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: with SA_RESTART read, recv, write, send and accept go on") {
  const handler h(SA_RESTART);
  for (const kind k : streams) {
    const both_ends e = make(k);
    o.say("%s", name_of(k));
    flow reader("reader", [&](log& r) {
      char data[8];
      const alarm_clock clock(15, true);
      COIR_OBSERVE(r, read(e.a, data, sizeof data));
    });
    usleep(60'000);
    o.say("the reader %s", reader.state());
    while (usleep(1000) != 0) {
    }
    write_all(e.b, "x");
    reader.join();
    if (k == kind::tcp) continue;  // a full TCP socket may find room by itself
    const std::size_t filled = fill(e.b);
    flow writer("writer", [&](log& w) {
      const alarm_clock clock(15, true);
      COIR_OBSERVE(w, write(e.b, "more", 4));
    });
    for (const stopwatch since; since.milliseconds() < 60;) usleep(10'000);
    o.say("the writer %s", writer.state());
    read_all(e.a, filled);
  }
  const listener l;
  flow server("server", [&](log& s) {
    const alarm_clock clock(15, true);
    const descriptor to(accept(l.fd, nullptr, nullptr));
    s.check(to >= 0, "accepted");
  });
  for (const stopwatch since; since.milliseconds() < 60;) usleep(10'000);
  o.say("the server %s", server.state());
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
  server.join();
  o.check(handled > 5, "the handler ran");
}

COIR_ROW_WITH(no_ticker, "EINTR: with SA_RESTART the open of a FIFO goes on") {
  const handler h(SA_RESTART);
  for (const int side : {O_RDONLY, O_WRONLY}) {
    const fifo path;
    flow opener("opener", [&](log& w) {
      const alarm_clock clock(15, true);
      const descriptor mine(open(path.c_str(), side));
      w.check(mine >= 0, "opened");
    });
    for (const stopwatch since; since.milliseconds() < 60;) usleep(10'000);
    o.say("the opener %s", opener.state());
    descriptor other;
    do other = descriptor(open(path.c_str(), side == O_RDONLY ? O_WRONLY : O_RDONLY));
    while (other < 0 && errno == EINTR);
    opener.join();
  }
  o.check(handled > 3, "the handler ran");
}

COIR_ROW_WITH(no_ticker, "EINTR: without SA_RESTART read, recv, write, send and accept fail") {
  const handler h(0);
  for (const kind k : streams) {
    const both_ends e = make(k);
    o.say("%s", name_of(k));
    char data[8];
    // On fibers the call is to be ended by the peer, since nothing else would.
    const auto rescue = [&](auto action) {
      return std::make_unique<flow>("rescue", [action](log&) {
        for (const stopwatch since; since.milliseconds() < 200;) usleep(20'000);
        action();
      });
    };
    {
      const auto later = rescue([&] { write_all(e.b, "x"); });
      interrupted(o, "read", [&] { return read(e.a, data, sizeof data); });
    }
    if (bytes_waiting(e.a) > 0) read_all(e.a, 1);
    const std::size_t filled = fill(e.b);
    const auto later = rescue([&] { read_all(e.a, filled); });
    interrupted(o, "write", [&] { return write(e.b, data, sizeof data); });
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: sem_timedwait fails, and sem_wait without SA_RESTART") {
  timespec late;
  clock_gettime(CLOCK_REALTIME, &late);
  late.tv_sec += 100;
  for (const int flags : {0, SA_RESTART}) {
    const handler h(flags);
    sem_t s;
    sem_init(&s, 0, 0);
    const auto rescue = [&] {
      return flow("rescue", [&](log&) {
        for (const stopwatch since; since.milliseconds() < 200;) usleep(20'000);
        sem_post(&s);
      });
    };
    const auto rest = [&] {  // takes the post that was to rescue
      while (sem_wait(&s) != 0) {
      }
    };
    {
      flow later = rescue();
      handled = 0;
      const alarm_clock clock(40);
      errno = untouched;
      const int r = sem_wait(&s);
      o.result("sem_wait", r, errno);
      o.say("handled %d", handled);
      if (r != 0) rest();
    }
    flow later = rescue();
    handled = 0;
    const alarm_clock clock(40);
    errno = untouched;
    const int r = sem_timedwait(&s, &late);
    o.result("sem_timedwait", r, errno);
    o.say("handled %d", handled);
    if (r != 0) rest();
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: a partial write is counted instead") {
  const handler h(0);
  for (const kind k : streams) {
    const both_ends e = make(k);
    set_buffers_if_socket(e.b, 16384);
    const std::string large = pattern(8 << 20);
    if (k != kind::pipe) set_timeout(e.b, SO_SNDTIMEO, 900'000);
    std::atomic<bool> returned{false};
    flow rescue("rescue", [&](log&) {
      for (const stopwatch since; since.milliseconds() < 900 && !returned;) usleep(20'000);
      if (k == kind::pipe) read_all(e.a, large.size(), 0, 65536);
    });
    const stopwatch since;
    const alarm_clock clock(40);
    const ssize_t n = write(e.b, large.data(), large.size());
    o.took(since, 40);
    returned = true;
    o.say("%s: %s", name_of(k),
          n > 0 && n < static_cast<ssize_t>(large.size()) ? "partial" : "whole or none");
    if (k == kind::pipe && n < static_cast<ssize_t>(large.size()))
      write_all(e.b, large.substr(static_cast<std::size_t>(n)));
  }
}

COIR_ROW_WITH(no_ticker, "EINTR: ppoll and pselect let a blocked signal through that waits already") {
  const handler h(0);
  sigset_t block, before, open;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  sigemptyset(&open);
  const both_ends e = make(kind::unix_stream);
  const descriptor poller(COIR_MUST(epoll_create1(0)));
  const timespec t = {0, 300'000'000};
  for (int i = 0; i < 3; ++i) {
    pthread_kill(pthread_self(), SIGUSR1);
    o.say("handled before %d", handled);
    pollfd f = {e.a, POLLIN, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(e.a, &in);
    epoll_event event;
    const stopwatch since;
    if (i == 0) COIR_OBSERVE(o, ppoll(&f, 1, &t, &open));
    if (i == 1) COIR_OBSERVE(o, pselect(e.a + 1, &in, nullptr, nullptr, &t, &open));
    if (i == 2) COIR_OBSERVE(o, epoll_pwait(poller, &event, 1, 300, &open));
    o.took_no_time(since);
    o.say("handled after %d", handled);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

COIR_ROW_WITH(no_ticker,
              "EINTR: ppoll lets a blocked signal through that comes during the call, and only then") {
  const handler h(0);
  sigset_t block, before, open;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  sigemptyset(&open);
  const timespec t = {0, 400'000'000};
  interrupted(o, "ppoll", [&] { return ppoll(nullptr, 0, &t, &open); });
  handled = 0;
  {
    const alarm_clock clock(20);
    const stopwatch since;
    COIR_OBSERVE(o, poll(nullptr, 0, 50));
    o.took(since, 50);
    o.say("handled %d", handled);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  o.say("handled %d", handled);
}

COIR_ROW_WITH(no_ticker, "EINTR: a handler that makes calls of its own does no harm") {
  static int pipe_ends[2];
  COIR_MUST(pipe(pipe_ends));
  const descriptor in(pipe_ends[0]), out(pipe_ends[1]);
  struct sigaction action = {}, before;
  action.sa_handler = [](int) {
    const int saved = errno;
    if (write(pipe_ends[1], "s", 1) != 1) _exit(9);
    errno = saved;
  };
  sigaction(SIGUSR1, &action, &before);
  const both_ends e = make(kind::unix_stream);
  char data[8];
  {
    const alarm_clock clock(30);
    pollfd f[2] = {{e.a, POLLIN, 0}, {in, POLLIN, 0}};
    long n;
    do n = poll(f, 2, 500);
    while (n < 0 && errno == EINTR);
    o.say("poll %ld, events %x %x", n, f[0].revents, f[1].revents);
  }
  COIR_OBSERVE(o, read(in, data, sizeof data));
  sigaction(SIGUSR1, &before, nullptr);
}

namespace {

// Stops this process while its first thread sleeps for long, and lets it go on: one that is at work just then
// would not hear of it.
void stop_and_go_on() {
  const pid_t me = getpid();
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    const std::string path = "/proc/" + std::to_string(me) + "/stat";
    for (int i = 0; i < 1000; ++i) {
      char text[256] = {};
      const descriptor d(open(path.c_str(), O_RDONLY));
      if (read(d, text, sizeof text - 1) > 0 && strstr(text, ") S ") != nullptr) break;
      usleep(1000);
    }
    usleep(40'000);  // what fibers wait for is looked at once more 8 to 24 ms after they began
    kill(me, SIGSTOP);
    usleep(5000);
    kill(me, SIGCONT);
    _exit(0);
  }
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

COIR_ROW_WITH(own_process | no_ticker | libc_checks,
              "stopped and continued: sleeps, poll, select go on; the others say EINTR, as the kernel does") {
  const handler h(0);
  const both_ends e = make(kind::tcp);
  const both_ends f = make(kind::tcp);
  const descriptor poller(COIR_MUST(epoll_create1(0)));
  flow sleeper("sleeper", [&](log& r) { COIR_OBSERVE(r, usleep(300'000)); });
  flow polling("polling", [&](log& r) {
    pollfd p = {e.a, POLLIN, 0};
    COIR_OBSERVE(r, poll(&p, 1, 300));
  });
  flow selecting("selecting", [&](log& r) {
    fd_set in;
    FD_ZERO(&in);
    FD_SET(e.a, &in);
    timeval t = {0, 300'000};
    COIR_OBSERVE(r, select(e.a + 1, &in, nullptr, nullptr, &t));
  });
  flow reader("reader", [&](log& r) {
    char byte;
    COIR_OBSERVE(r, read(e.a, &byte, 1));
  });
  flow limited("limited", [&](log& r) {
    char byte;
    set_timeout(f.a, SO_RCVTIMEO, 20'000'000);
    COIR_OBSERVE(r, recv(f.a, &byte, 1, 0));
  });
  flow waiter("waiter", [&](log& r) {
    epoll_event event;
    COIR_OBSERVE(r, epoll_wait(poller, &event, 1, 20'000));
  });
  flow waits_for_signal("waits for a signal", [&](log& r) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    const timespec limit = {20, 0};
    COIR_OBSERVE(r, sigtimedwait(&set, nullptr, &limit));
  });
  settle();
  stop_and_go_on();
  polling.join();
  selecting.join();
  o.say("the reader %s", reader.state());
  write_all(e.b, "x");
}

COIR_ROW_WITH(own_process | no_ticker | libc_checks,
              "stopped and continued: pause goes on, until a handler has run") {
  const handler h(0);
  flow pauser("pauser", [&](log& r) {
    const alarm_clock clock(150, true);
    COIR_OBSERVE(r, pause());
    r.say("a handler ran: %s", handled > 0 ? "yes" : "no");
  });
  settle();
  stop_and_go_on();
}

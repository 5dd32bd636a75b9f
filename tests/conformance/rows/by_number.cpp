// Descriptors that end, change or begin by a number of a system call, through syscall(2); and how a close
// reaches everybody.
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "close.hpp"

using namespace conformance;

COIR_ROW("by number: SYS_close, SYS_dup2, SYS_dup3 and SYS_close_range wake as close does") {
  const descriptor other(COIR_MUST(open("/dev/null", O_RDWR | O_CLOEXEC)));
  for (const kind k : streams) {
    const auto once = [&](const char* what, const std::function<void(descriptor&)>& close_it) {
      close_under_read(o, k, what, close_it);
    };
    once("SYS_close", [&](descriptor& d) { COIR_OBSERVE(o, syscall(SYS_close, d.release())); });
#ifdef SYS_dup2
    once("SYS_dup2", [&](descriptor& d) { o.check(syscall(SYS_dup2, +other, +d) == d, "dup2"); });
#endif
    once("SYS_dup3", [&](descriptor& d) { o.check(syscall(SYS_dup3, +other, +d, O_CLOEXEC) == d, "dup3"); });
    once("SYS_close_range", [&](descriptor& d) {
      const int n = d.release();
      COIR_OBSERVE(o, syscall(SYS_close_range, n, n, 0));
    });
    once("by a plain thread", [&](descriptor& d) {
      const int n = d.release();
      std::thread([n] { syscall(SYS_close, n); }).join();
    });
  }
}

COIR_ROW("by number: descriptors changed through syscall are as changed by the call of that name") {
  const both_ends e = make(kind::tcp);
  char data[8];
  get_known(e.a, [&] { write_all(e.b, "x"); });
  COIR_OBSERVE(o, syscall(SYS_fcntl, +e.a, F_SETFL, O_NONBLOCK | O_RDWR));
  COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
  const int off = 0, on = 1;
  COIR_OBSERVE(o, syscall(SYS_ioctl, +e.a, FIONBIO, &off));
  const timeval tenth = {0, 100'000};
  COIR_OBSERVE(o, syscall(SYS_setsockopt, +e.a, SOL_SOCKET, SO_RCVTIMEO, &tenth, sizeof tenth));
  {
    const stopwatch since;
    COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
    o.took(since, 100);
  }
  COIR_OBSERVE(o, syscall(SYS_ioctl, +e.a, FIONBIO, &on));
  COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
  const descriptor copy(static_cast<int>(syscall(SYS_fcntl, +e.a, F_DUPFD_CLOEXEC, 100)));
  COIR_OBSERVE(o, recv(copy, data, sizeof data, 0));
  COIR_OBSERVE(o, syscall(SYS_close, -1));
  COIR_OBSERVE(o, syscall(SYS_dup3, 0, 0, 0));
  COIR_OBSERVE(o, syscall(SYS_close_range, 5, 4, 0));
  COIR_OBSERVE(o, syscall(SYS_fcntl, -1, F_GETFL));
  COIR_OBSERVE(o, syscall(SYS_setsockopt, -1, SOL_SOCKET, SO_RCVTIMEO, &tenth, sizeof tenth));
}

COIR_ROW("by number: sockets made and accepted through syscall wait as others") {
  const listener l;
  const descriptor client(static_cast<int>(syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  flow acceptor("acceptor", [&](log& a) {
    const descriptor served(static_cast<int>(syscall(SYS_accept, +l.fd, nullptr, nullptr)));
    a.check(served >= 0, "accepted");
    char data[8];
    COIR_OBSERVE(a, read(served, data, sizeof data));
  });
  settle();
  o.say("the acceptor %s", acceptor.state());
  COIR_OBSERVE(o, connect(client, l.where(), listener::size));
  settle();
  o.say("the acceptor %s", acceptor.state());
  write_all(client, "hello");
}

COIR_ROW("by number: mq_close wakes who waits, and the number starts anew") {
  const std::string name = "/coir-unheard-" + std::to_string(getpid());
  mq_attr about = {};
  about.mq_maxmsg = 1;
  about.mq_msgsize = 8;
  const mqd_t queue = mq_open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600, &about);
  if (queue < 0) return o.say("no queues: %s", name_of_error(errno));
  const mqd_t other = mq_open(name.c_str(), O_RDWR | O_CLOEXEC);
  mq_unlink(name.c_str());
  close_during(
      o, "mq_receive",
      [&](log& r) {
        char data[8];
        errno = 0;
        const ssize_t n = mq_receive(queue, data, sizeof data, nullptr);
        r.result("mq_receive", n, n < 0 ? errno : untouched);
        if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
      },
      [&] { COIR_OBSERVE(o, mq_close(queue)); }, [&] { mq_send(other, "x", 1, 0); });
  const both_ends p = make(kind::pipe);
  o.check(p.a == queue, "the same number");
  {
    flow reader("reader", [&](log& r) {
      char data[8];
      COIR_OBSERVE(r, read(p.a, data, sizeof data));
    });
    settle();
    write_all(p.b, "hello");
  }
  COIR_OBSERVE(o, mq_close(other));
  COIR_OBSERVE(o, mq_close(other));
}

COIR_ROW_WITH(own_process, "by number: a FIFO gets the number 0") {
  const fifo f;
  const descriptor kept(COIR_MUST(fcntl(0, F_DUPFD_CLOEXEC, 100)));
  {
    flow writer("writer", [&](log&) {
      nap(60);
      const descriptor d(COIR_MUST(open(f.c_str(), O_WRONLY | O_CLOEXEC)));
      write_all(d, "hello");
    });
    settle();  // a thread that begins has numbers of its own for a moment
    close(0);
    const stopwatch since;
    const int fd = open(f.c_str(), O_RDONLY);
    o.say("open: %d", fd);
    o.check(since.milliseconds() < 500, "late: half a second");
    char data[8];
    COIR_OBSERVE(o, read(fd, data, sizeof data));
    close(fd);
  }
  flow reader("reader", [&](log&) {
    nap(20);
    const descriptor d(COIR_MUST(open(f.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
    nap(100);
  });
  const int fd = open(f.c_str(), O_WRONLY);
  o.check(fd >= 0, "a reader came");
  close(fd);
  reader.join();
  dup2(kept, 0);
}

COIR_ROW_WITH(no_ticker, "by number: SYS_close in a signal handler, and the number's next owner") {
  static int victim;
  both_ends e = make(kind::unix_stream);
  get_known(e.a, [&] { write_all(e.b, "x"); });
  victim = e.a.release();
  struct sigaction how = {}, before;
  how.sa_handler = [](int) { syscall(SYS_close, victim); };
  sigaction(SIGUSR1, &how, &before);
  raise(SIGUSR1);
  sigaction(SIGUSR1, &before, nullptr);
  const both_ends p = make(kind::pipe);
  o.check(p.a == victim, "the same number");
  flow reader("reader", [&](log& r) {
    char data[8];
    const stopwatch since;
    COIR_OBSERVE(r, read(p.a, data, sizeof data));
    r.took_no_time(since);
  });
  settle();
  write_all(p.b, "hello");
}

COIR_ROW_WITH(own_process,
              "by number: what a vfork child closes by SYS_close stays open and awaited in its parent") {
  both_ends e = make(kind::tcp);
  char data[16];
  flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, data, sizeof data)); });
  settle();
  const pid_t child = vfork();
  if (child == 0) {
    syscall(SYS_close, +e.a);
    syscall(SYS_close_range, 3, 4000, 0);
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    _exit(0);
  }
  while (waitpid(child, nullptr, 0) < 0) {
  }
  settle();
  o.say("the reader %s", reader.state());
  write_all(e.b, "hello");
}

COIR_ROW("by number: splice and sendmmsg look at both ends after a wait") {
  for (const bool spliced : {true, false}) {
    both_ends from = make(kind::pipe), to = make(kind::pipe), next = make(kind::pipe);
    both_ends s = make(kind::unix_stream), other = make(kind::unix_stream);
    set_buffers(s.b, 4096);
    const int out = spliced ? to.b : s.b;
    const std::string data = pattern(100'000);
    flow mover("mover", [&](log& m) {
      if (spliced) {
        errno = 0;
        const ssize_t n = splice(from.a, nullptr, out, nullptr, 5, 0);
        m.say("splice: %s", n < 0 ? name_of_error(errno) : "moved");
        return;
      }
      iovec v = {const_cast<char*>(data.data()), data.size()};
      mmsghdr all[8] = {};
      for (mmsghdr& one : all) {
        one.msg_hdr.msg_iov = &v;
        one.msg_hdr.msg_iovlen = 1;
      }
      errno = 0;
      m.say("sendmmsg: %s", sendmmsg(out, all, 8, MSG_NOSIGNAL) < 8 ? "a part" : "all");
    });
    settle();
    o.say("the mover %s", mover.state());
    const descriptor kept(COIR_MUST(dup(out)));
    COIR_OBSERVE(o, dup2(spliced ? next.b : other.b, out) == out);
    settle();
    if (spliced) {
      write_all(from.b, "hello");
      settle();
    } else {
      shutdown(s.a, SHUT_RDWR);
    }
    mover.join();
    o.check(bytes_waiting(spliced ? next.a : other.a) == 0, "the next owner got nothing");
  }
}

COIR_ROW_WITH(own_process | one_thread,
              "by number: who waits for a child takes none of the low ones, and none that others close") {
  const int lowest = COIR_MUST(dup(2));
  close(lowest);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    pause();
    _exit(0);
  }
  flow waiter("waiter", [&](log& w) {
    int status = 0;
    w.check(waitpid(child, &status, 0) == child, "the child");
    w.say("signal %d", WTERMSIG(status));
  });
  settle();
  const int next = COIR_MUST(dup(2));
  o.check(next == lowest, "the lowest number is free");
  closefrom(lowest);
  settle();
  o.say("the waiter %s", waiter.state());
  kill(child, SIGKILL);
}

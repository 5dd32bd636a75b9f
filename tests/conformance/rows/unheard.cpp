// Numbers closed where nobody hears of it, and used again: what was remembered of them misleads nobody.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstring>

#include "close.hpp"
#include "control_message.hpp"

using namespace conformance;

namespace {

// A system call that no library sees.
long unheard(long number, long a, long b = 0, long c = 0) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
#else
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#endif
}

// Gives `d` the number of `old`, which ends without a word.
void put_in_place(descriptor& d, descriptor& old) {
  const int number = old.release();
  if (d == number) return;
  COIR_MUST(unheard(SYS_dup3, d, number, O_CLOEXEC));
  unheard(SYS_close, d.release());
  d = descriptor(number);
}

// The ways by which a number comes to its next owner, which takes the lowest one free.
struct maker {
  const char* name;
  both_ends (
      *make)();  // a: the new owner, which is read; b: what is written to make it readable, perhaps the same
};

both_ends sockets_of(int type) {
  int fds[2];
  COIR_MUST(socketpair(AF_UNIX, type, 0, fds));
  return {descriptor(fds[0]), descriptor(fds[1])};
}
both_ends twice(int fd) {
  both_ends e;
  e.a = descriptor(fd);
  return e;
}

const maker makers[] = {
    {"pipe",
     [] {
       int fds[2];
       COIR_MUST(pipe(fds));
       return both_ends{descriptor(fds[0]), descriptor(fds[1])};
     }},
    {"socketpair", [] { return sockets_of(SOCK_STREAM); }},
    {"datagrams", [] { return sockets_of(SOCK_DGRAM); }},
    {"eventfd", [] { return twice(COIR_MUST(eventfd(0, 0))); }},
    {"timerfd", [] { return twice(COIR_MUST(timerfd_create(CLOCK_MONOTONIC, 0))); }},
    {"inotify", [] { return twice(COIR_MUST(inotify_init1(0))); }},
    {"tcp",
     [] {
       const listener l;
       both_ends e;
       e.a = tcp_socket();
       COIR_MUST(connect(e.a, l.where(), listener::size));
       e.b = descriptor(COIR_MUST(accept(l.fd, nullptr, nullptr)));
       return e;
     }},
};

void make_readable(const char* name, const both_ends& e, const char* path) {
  if (!std::strcmp(name, "eventfd")) {
    COIR_MUST(eventfd_write(e.a, 1));
  } else if (!std::strcmp(name, "timerfd")) {
    const itimerspec soon = {{0, 0}, {0, 1'000'000}};
    COIR_MUST(timerfd_settime(e.a, 0, &soon, nullptr));
  } else if (!std::strcmp(name, "inotify")) {
    COIR_MUST(inotify_add_watch(e.a, path, IN_CREATE));
    const descriptor made(
        COIR_MUST(open((std::string(path) + "/x").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)));
    COIR_MUST(unlink((std::string(path) + "/x").c_str()));
  } else {
    write_all(e.b, "12345678");
  }
}

// Each kind of file follows each kind whose number `close_it` has closed.
void follow(log& o, const std::function<void(int)>& close_it) {
  const scratch_path folder("folder");
  COIR_MUST(mkdir(folder.c_str(), 0700));
  for (const kind before : {kind::tcp, kind::unix_stream, kind::pipe}) {
    for (const maker& m : makers) {
      both_ends old = make(before);
      get_known(old.a, [&] { write_all(old.b, "old"); });
      both_ends now = m.make();
      close_it(old.a);
      put_in_place(now.a, old.a);
      o.say("%s after %s", m.name, name_of(before));
      char data[512];
      {
        flow reader("reader", [&](log& r) {
          r.say("read %s", read(now.a, data, sizeof data) > 0 ? "something" : name_of_error(errno));
        });
        settle();
        o.say("the reader %s", reader.state());
        make_readable(m.name, now, folder.c_str());
      }
      {
        flow poller("poller", [&](log& r) {
          pollfd f = {now.a, POLLIN, 0};
          COIR_OBSERVE(r, poll(&f, 1, 1000));
        });
        settle();
        o.say("the poller %s", poller.state());
        make_readable(m.name, now, folder.c_str());
      }
    }
  }
  COIR_MUST(rmdir(folder.c_str()));
}

}  // namespace

COIR_ROW("unheard: the number goes to each kind of file after syscall(SYS_close)") {
  follow(o, [](int fd) { syscall(SYS_close, fd); });
}
COIR_ROW("unheard: the number goes to each kind of file after SYS_close_range") {
  follow(o, [](int fd) { syscall(SYS_close_range, fd, fd, 0); });
}
COIR_ROW("unheard: the number goes to each kind of file after a close that nobody hears of") {
  follow(o, [](int) {});
}

COIR_ROW("unheard: what was remembered of O_NONBLOCK makes no call fail, and none wait") {
  for (const bool before : {true, false}) {
    both_ends old = make(kind::tcp);
    set_nonblocking(old.a, before);
    char data[16];
    if (before)
      COIR_OBSERVE(o, recv(old.a, data, sizeof data, 0));
    else
      get_known(old.a, [&] { write_all(old.b, "old"); });
    both_ends now = sockets_of(before ? SOCK_STREAM : SOCK_STREAM | SOCK_NONBLOCK);
    put_in_place(now.a, old.a);
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(now.a, data, sizeof data, 0)); });
    nap(50);
    o.say("the reader %s", reader.state());
    write_all(now.b, "x");
    reader.join();
    if (before) continue;
    fill(now.a);
    flow writer("writer", [&](log& w) { COIR_OBSERVE(w, send(now.a, data, sizeof data, 0)); });
    nap(50);
    o.say("the writer %s", writer.state());
    read_all(now.b, 1);
  }
}

// Waits for `e.a` that last, until coir is content with what it knows of the number.
void get_trusted(both_ends& e) {
  for (int i = 0; i < 3; ++i) {
    flow reader("a known one", [&](log& r) {
      char byte;
      COIR_OBSERVE(r, read(e.a, &byte, 1));
    });
    nap(60);
    write_all(e.b, "x");
  }
}

COIR_ROW("unheard: within a limit the number's next owner gives what has come") {
  for (const bool in : {true, false}) {
    both_ends old = sockets_of(SOCK_STREAM);
    get_trusted(old);
    both_ends now = sockets_of(SOCK_STREAM);
    put_in_place(now.a, old.a);
    set_timeout(now.a, in ? SO_RCVTIMEO : SO_SNDTIMEO, 200'000);
    char data[64] = {};
    const std::size_t filled = in ? 0 : fill(now.a);
    flow waiter("waiter", [&](log& w) {
      if (in)
        COIR_OBSERVE(w, recv(now.a, data, sizeof data, 0));
      else
        COIR_OBSERVE(w, send(now.a, data, sizeof data, 0));
    });
    nap(50);
    if (in)
      write_all(now.b, "hello");
    else
      read_all(now.b, filled);
  }
}

COIR_ROW("unheard: numbers that are used anew all the time do not put off what is checked of others") {
  both_ends old = make(kind::pipe);
  get_trusted(old);
  both_ends now = make(kind::pipe);
  put_in_place(now.a, old.a);
  flow reader("reader", [&](log& r) {
    char data[8];
    COIR_OBSERVE(r, read(now.a, data, sizeof data));
  });
  settle();
  write_all(now.b, "hello");
  const stopwatch since;
  while (!strcmp(reader.state(), "waits") && since.milliseconds() < 3000) {
    both_ends other = make(kind::pipe);
    for (int i = 0; i < 2; ++i) {
      flow second("another", [&](log&) {
        char byte;
        (void)!read(other.a, &byte, 1);
      });
      nap(20);
      write_all(other.b, "x");
    }
    nap(300);
  }
  o.say("the reader %s", reader.state());
}

COIR_ROW("unheard: a file's number goes to a pipe, and a pipe's to a file") {
  for (const bool memory : {false, true}) {
    char data[64];
    descriptor file = memory ? descriptor(COIR_MUST(open("/proc/self/status", O_RDONLY | O_CLOEXEC)))
                             : scratch_file("a file's content");
    o.check(read(file, data, sizeof data) > 0, "the file is read");
    both_ends p = make(kind::pipe);
    put_in_place(p.a, file);
    {
      flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(p.a, data, sizeof data)); });
      settle();
      o.say("the reader %s", reader.state());
      write_all(p.b, "hello");
    }
    file = scratch_file("the next file");
    put_in_place(file, p.a);
    COIR_OBSERVE(o, lseek(file, 0, SEEK_SET));
    COIR_OBSERVE(o, read(file, data, sizeof data));
    COIR_OBSERVE(o, write(file, data, 5));
  }
}

COIR_ROW("unheard: a descriptor that comes by a message starts anew") {
  for (const int calls : {0, 1, 2}) {
    const both_ends way = make(kind::unix_stream), passed = make(kind::unix_stream);
    both_ends old = make(kind::unix_stream);
    get_known(old.a, [&] { write_all(old.b, "old"); });
    control_message c;
    c.v.iov_len = 1;
    const int sent = passed.a;
    c.carry(&sent, 1);
    COIR_OBSERVE(o, sendmsg(way.b, &c.m, 0));
    const int number = old.a.release();
    unheard(SYS_close, number);
    c.make_room();
    mmsghdr several = {c.m, 0};
    if (calls == 0) COIR_OBSERVE(o, recvmsg(way.a, &c.m, 0));
    if (calls == 1) COIR_OBSERVE(o, recvmmsg(way.a, &several, 1, 0, nullptr));
    if (calls == 2) COIR_OBSERVE(o, syscall(SYS_recvmsg, +way.a, &c.m, 0));
    const descriptor now(c.first_descriptor());
    o.check(now == number, "the same number");
    flow reader("reader", [&](log& r) {
      char data[8];
      const stopwatch since;
      COIR_OBSERVE(r, read(now, data, sizeof data));
      r.took_no_time(since);
    });
    settle();
    write_all(passed.b, "hello");
  }
}

// Descriptors that coir did not make: inherited, received, of every kind. Reading them waits and blocks
// nobody.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"
#include "control_message.hpp"

using namespace conformance;

namespace {

void reap(pid_t child) {
  while (waitpid(child, nullptr, 0) < 0) {
  }
}

struct terminal {
  descriptor master, slave;

  terminal() {
    int m, s;
    COIR_MUST(openpty(&m, &s, nullptr, nullptr, nullptr));
    master = descriptor(m);
    slave = descriptor(s);
    termios t;
    COIR_MUST(tcgetattr(slave, &t));
    t.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    COIR_MUST(tcsetattr(slave, TCSANOW, &t));
  }
};

}  // namespace

COIR_ROW("inherited: a child's end of a socket pair works in both processes") {
  const both_ends e = make(kind::unix_stream);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {  // echoes in capitals, slowly
    char data[64];
    for (;;) {
      const ssize_t n = read(e.a, data, sizeof data);
      if (n <= 0) _exit(0);
      usleep(20'000);
      for (ssize_t i = 0; i < n; ++i) data[i] = static_cast<char>(data[i] - 32);
      if (write(e.a, data, static_cast<size_t>(n)) != n) _exit(1);
    }
  }
  char data[64];
  for (const char* word : {"one", "three"}) {
    COIR_OBSERVE(o, write(e.b, word, strlen(word)));
    const long n = COIR_OBSERVE(o, read(e.b, data, sizeof data));
    o.say("%.*s", static_cast<int>(n), data);
  }
  COIR_OBSERVE(o, shutdown(e.b, SHUT_WR));
  o.check(!is_nonblocking(e.a) && !is_nonblocking(e.b), "both stay blocking");
  reap(child);
}

COIR_ROW("inherited: a pipe from a child that writes later") {
  both_ends e = make(kind::pipe);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    usleep(40'000);
    _exit(write(e.b, "hello", 5) == 5 ? 0 : 1);
  }
  e.b.close();
  char data[8];
  const stopwatch since;
  COIR_OBSERVE(o, read(e.a, data, sizeof data));
  COIR_OBSERVE(o, read(e.a, data, sizeof data));
  o.took(since, 30);
  reap(child);
}

COIR_ROW("eventfd: a read waits for a count, a write for room") {
  const descriptor d(eventfd(0, EFD_CLOEXEC));
  {
    flow reader("reader", [&](log& r) {
      eventfd_t value = 0;
      COIR_OBSERVE(r, eventfd_read(d, &value));
      r.say("value %llu", static_cast<unsigned long long>(value));
      COIR_OBSERVE(r, read(d, &value, sizeof value));
      r.say("value %llu", static_cast<unsigned long long>(value));
    });
    settle();
    o.say("the reader %s", reader.state());
    COIR_OBSERVE(o, eventfd_write(d, 5));
    settle();
    const eventfd_t seven = 7;
    COIR_OBSERVE(o, write(d, &seven, sizeof seven));
  }
  COIR_OBSERVE(o, eventfd_write(d, ~eventfd_t{0} - 1));
  flow writer("writer", [&](log& w) { COIR_OBSERVE(w, eventfd_write(d, 3)); });
  settle();
  o.say("the writer %s", writer.state());
  eventfd_t value = 0;
  COIR_OBSERVE(o, eventfd_read(d, &value));
  writer.join();
  COIR_OBSERVE(o, eventfd_read(d, &value));
  o.say("value %llu", static_cast<unsigned long long>(value));
  COIR_OBSERVE(o, eventfd_write(d, ~eventfd_t{0}));
  char small[4];
  COIR_OBSERVE(o, read(d, small, sizeof small));
}

COIR_ROW("eventfd: a semaphore gives one to each reader") {
  const descriptor d(eventfd(0, EFD_SEMAPHORE));
  const auto take = [&](log& r) {
    eventfd_t value = 0;
    COIR_OBSERVE(r, eventfd_read(d, &value));
    r.say("value %llu", static_cast<unsigned long long>(value));
  };
  flow first("reader", take), second("reader", take), third("reader", take);
  settle();
  COIR_OBSERVE(o, eventfd_write(d, 2));
  settle();
  o.say("%d returned", first.done() + second.done() + third.done());
  COIR_OBSERVE(o, eventfd_write(d, 1));
}

COIR_ROW("timerfd: a read waits for the expiration and counts them") {
  const descriptor d(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec t = {{0, 0}, {0, 30'000'000}};
  const stopwatch since;
  COIR_OBSERVE(o, timerfd_settime(d, 0, &t, nullptr));
  std::uint64_t count = 0;
  COIR_OBSERVE(o, read(d, &count, sizeof count));
  o.took(since, 30);
  o.say("count %llu", static_cast<unsigned long long>(count));
  t = {{0, 10'000'000}, {0, 10'000'000}};
  COIR_OBSERVE(o, timerfd_settime(d, 0, &t, nullptr));
  for (int i = 0; i < 3; ++i) COIR_OBSERVE(o, read(d, &count, sizeof count));
}

COIR_ROW_WITH(no_ticker, "signalfd: a read waits for the signal") {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  const descriptor d(signalfd(-1, &set, 0));
  {
    flow reader("reader", [&](log& r) {
      signalfd_siginfo info = {};
      COIR_OBSERVE(r, read(d, &info, sizeof info));
      r.say("signal %u", info.ssi_signo);
    });
    settle();
    o.say("the reader %s", reader.state());
    COIR_OBSERVE(o, kill(getpid(), SIGUSR1));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

COIR_ROW("inotify: a read waits for the event") {
  const scratch_path path("file");
  const std::string directory(path.c_str(), strrchr(path.c_str(), '/'));
  const descriptor d(inotify_init1(IN_CLOEXEC));
  COIR_MUST(inotify_add_watch(d, directory.c_str(), IN_CREATE));
  flow reader("reader", [&](log& r) {
    alignas(inotify_event) char data[4096];
    const long n = COIR_OBSERVE(r, read(d, data, sizeof data));
    if (n > 0) r.say("%s", reinterpret_cast<inotify_event*>(data)->name);
  });
  settle();
  o.say("the reader %s", reader.state());
  const descriptor made(COIR_MUST(open(path.c_str(), O_CREAT | O_WRONLY, 0600)));
}

COIR_ROW("named FIFO: reads wait, and end with the last writer") {
  const scratch_path path("fifo");
  COIR_MUST(mkfifo(path.c_str(), 0600));
  const descriptor in(COIR_MUST(open(path.c_str(), O_RDONLY | O_NONBLOCK)));
  set_nonblocking(in, false);
  descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY)));
  flow reader("reader", [&](log& r) {
    char data[16];
    for (int i = 0; i < 4; ++i)
      if (COIR_OBSERVE(r, read(in, data, sizeof data)) <= 0) break;
  });
  settle();
  o.say("the reader %s", reader.state());
  COIR_OBSERVE(o, write(out, "hello", 5));
  settle();
  COIR_OBSERVE(o, write(out, "again", 5));
  settle();
  o.say("the reader %s", reader.state());
  out.close();
}

COIR_ROW("named FIFO: many megabytes through a slow reader") {
  const scratch_path path("fifo");
  COIR_MUST(mkfifo(path.c_str(), 0600));
  const descriptor in(COIR_MUST(open(path.c_str(), O_RDONLY | O_NONBLOCK)));
  set_nonblocking(in, false);
  descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY)));
  const std::string data = pattern(2 << 20);
  flow writer("writer", [&](log& w) {
    COIR_OBSERVE(w, write(out, data.data(), data.size()));
    out.close();
  });
  const std::string got = read_all(in, data.size() + 1, 100, 50'000);
  o.say("%zu bytes", got.size());
  o.check(got == data, "they arrive as they were sent");
}

COIR_ROW("named FIFO: the user's own non-blocking one answers at once") {
  const scratch_path path("fifo");
  COIR_MUST(mkfifo(path.c_str(), 0600));
  const descriptor in(COIR_MUST(open(path.c_str(), O_RDONLY | O_NONBLOCK)));
  char data[16];
  const stopwatch since;
  COIR_OBSERVE(o, read(in, data, sizeof data));
  const descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY | O_NONBLOCK)));
  COIR_OBSERVE(o, read(in, data, sizeof data));
  const std::string large = pattern(1 << 20);
  const ssize_t n = write(out, large.data(), large.size());
  o.check(n > 0 && n < static_cast<ssize_t>(large.size()), "a part of a large write fits");
  COIR_OBSERVE(o, write(out, large.data(), large.size()));
  o.took_no_time(since);
}

COIR_ROW("terminal: a line arrives when it is ended") {
  const terminal t;
  flow reader("reader", [&](log& r) {
    char data[64];
    const long n = COIR_OBSERVE(r, read(t.slave, data, sizeof data));
    r.say("%.*s", static_cast<int>(n), data);
    COIR_OBSERVE(r, read(t.slave, data, sizeof data));
    COIR_OBSERVE(r, read(t.slave, data, sizeof data));
  });
  settle();
  COIR_OBSERVE(o, write(t.master, "hel", 3));
  settle();
  o.say("the reader %s", reader.state());
  COIR_OBSERVE(o, write(t.master, "lo\n", 3));
  settle();
  COIR_OBSERVE(o, write(t.master, "two\nthree\n", 10));
  // What a terminal passes on is at times on its way in the kernel while all flows wait.
  for (const stopwatch since; since.milliseconds() < 900 && !reader.done();) settle();
  o.say("the reader %s", reader.state());
  COIR_OBSERVE(o, write(t.master, "\4", 1));  // end of file
}

COIR_ROW("terminal: output goes to the master, however much") {
  terminal t;
  termios raw;
  COIR_MUST(tcgetattr(t.slave, &raw));
  cfmakeraw(&raw);
  COIR_MUST(tcsetattr(t.slave, TCSANOW, &raw));
  const std::string data = pattern(300'000);
  flow writer("writer", [&](log& w) { COIR_OBSERVE(w, write(t.slave, data.data(), data.size())); });
  usleep(60'000);
  o.say("the writer %s", writer.state());
  std::string got;
  char piece[4096];
  while (got.size() < data.size()) {
    const ssize_t n = read(t.master, piece, sizeof piece);
    if (n <= 0) break;
    got.append(piece, static_cast<std::size_t>(n));
  }
  o.say("%zu bytes", got.size());
  o.check(got == data, "they arrive as they were sent");
}

COIR_ROW("terminal: the master sees the end of the slave as EIO") {
  terminal t;
  flow reader("reader", [&](log& r) {
    char data[64];
    COIR_OBSERVE(r, read(t.master, data, sizeof data));
  });
  settle();
  o.say("the reader %s", reader.state());
  t.slave.close();
}

COIR_ROW_WITH(own_process, "terminal: getpass waits for what is typed in secret") {
  signal(SIGHUP, SIG_IGN);  // which comes when the terminal goes
  const terminal t;
  COIR_MUST(setsid());
  COIR_MUST(ioctl(t.slave, TIOCSCTTY, 0));
  flow typist("typist", [&](log& w) {
    const char* word = getpass("Word? ");
    w.say("%s", word != nullptr ? word : name_of_error(errno));
  });
  o.say("%s", read_all(t.master, 6, 0, 6).c_str());
  settle();
  o.say("the typist %s", typist.state());
  write_all(t.master, "sesame\n");
  typist.join();
}

COIR_ROW("memfd: reads and writes like a file") {
  const descriptor d(memfd_create("row", MFD_CLOEXEC));
  char data[16] = {};
  COIR_OBSERVE(o, write(d, "0123456789", 10));
  COIR_OBSERVE(o, read(d, data, sizeof data));
  COIR_OBSERVE(o, pread(d, data, 4, 3));
  o.say("%.4s", data);
  COIR_OBSERVE(o, pwrite(d, "ab", 2, 100));
  COIR_OBSERVE(o, lseek(d, 0, SEEK_END));
  COIR_OBSERVE(o, read(d, data, 0));
}

COIR_ROW("devices: /dev/null, /dev/zero, /dev/full and /proc never wait") {
  char data[256] = {};
  const descriptor null(open("/dev/null", O_RDWR)), zero(open("/dev/zero", O_RDONLY)),
      full(open("/dev/full", O_WRONLY)), proc(open("/proc/self/comm", O_RDONLY));
  COIR_OBSERVE(o, read(null, data, sizeof data));
  COIR_OBSERVE(o, write(null, data, sizeof data));
  COIR_OBSERVE(o, read(zero, data, sizeof data));
  COIR_OBSERVE(o, write(full, data, sizeof data));
  o.check(read(proc, data, sizeof data) > 5, "a file of /proc is read");
  COIR_OBSERVE(o, read(proc, data, sizeof data));
}

COIR_ROW("random bytes: as many as asked for, no two alike") {
  char data[4][256] = {};
  COIR_OBSERVE(o, getrandom(data[0], 256, 0));
  COIR_OBSERVE(o, getrandom(data[1], 256, GRND_NONBLOCK));
  COIR_OBSERVE(o, getrandom(data[2], 256, GRND_RANDOM));
  COIR_OBSERVE(o, getentropy(data[3], 256));
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < i; ++j) o.check(memcmp(data[i], data[j], 256) != 0, "two are alike");
  COIR_OBSERVE(o, getrandom(data[0], 0, 0));
  COIR_OBSERVE(o, getrandom(data[0], 1, 0x8000));
  COIR_OBSERVE(o, getentropy(data, 257));
  COIR_OBSERVE(o, getentropy(data, 0));
}

COIR_ROW("received descriptor: a socket whose other holder is another process") {
  const both_ends channel = make(kind::unix_stream);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    const both_ends e = make(kind::unix_stream);
    control_message c;
    c.v.iov_len = 1;
    const int fd = e.a;
    c.carry(&fd, 1);
    if (sendmsg(channel.a, &c.m, 0) != 1) _exit(1);
    usleep(40'000);
    _exit(write(e.b, "hello", 5) == 5 ? 0 : 1);
  }
  control_message c;
  c.v.iov_len = 1;
  COIR_OBSERVE(o, recvmsg(channel.b, &c.m, 0));
  const int fd = c.first_descriptor();
  char data[16];
  const descriptor received(fd);
  COIR_OBSERVE(o, read(received, data, sizeof data));
  COIR_OBSERVE(o, read(received, data, sizeof data));
  reap(child);
}

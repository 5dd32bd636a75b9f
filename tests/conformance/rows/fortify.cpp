// What _FORTIFY_SOURCE makes of the calls: built once for each of its levels, with buffers whose size the
// compiler knows only at run time, so that __recv_chk and the like are really imported (fortify_names.py
// looks).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

#define COIR_TEXT2(x) #x
#define COIR_TEXT(x) COIR_TEXT2(x)
#define COIR_LEVEL " at level " COIR_TEXT(COIR_FORTIFY_LEVEL)

using namespace conformance;

namespace {

// The compiler knows how large this is, but not how much is asked for.
struct sized {
  char data[64];
};

std::size_t hidden(std::size_t n) {
  volatile std::size_t v = n;
  return v;
}

// Waits in `call`, wakes it by `wake`.
template <class Call, class Wake>
void waits(log& o, const char* what, Call call, Wake wake) {
  flow waiter(what, [&](log& w) {
    errno = untouched;
    const long r = call();
    w.result(what, r, errno);
  });
  settle();
  o.say("%s: %s", what, waiter.state());
  wake();
}

// How a child that makes `call` ends: __chk_fail aborts.
template <class Call>
void overflow(log& o, const char* what, bool aborts, Call call) {
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    signal(SIGABRT, SIG_DFL);
    call();
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
  }
  o.check(aborts == (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT), what);
  o.say("%s: %s", what, aborts ? "aborts" : "goes through");
}

}  // namespace

COIR_ROW("fortified: the checked names wait as the plain ones do" COIR_LEVEL) {
  const both_ends e = make(kind::tcp), p = make(kind::pipe);
  const auto wake = [&] { write_all(e.b, "hello"); };
  waits(
      o, "read",
      [&] {
        sized s;
        return read(e.a, s.data, hidden(sizeof s.data));
      },
      wake);
  waits(
      o, "read_pipe",
      [&] {
        sized s;
        return read(p.a, s.data, hidden(sizeof s.data));
      },
      [&] { write_all(p.b, "hello"); });
  waits(
      o, "recv",
      [&] {
        sized s;
        return recv(e.a, s.data, hidden(sizeof s.data), 0);
      },
      wake);
  waits(
      o, "recvfrom",
      [&] {
        sized s;
        sockaddr_storage from;
        socklen_t size = sizeof from;
        return recvfrom(e.a, s.data, hidden(sizeof s.data), 0, reinterpret_cast<sockaddr*>(&from), &size);
      },
      wake);
  waits(
      o, "poll",
      [&] {
        pollfd f[2] = {{e.a, POLLIN, 0}, {p.a, POLLIN, 0}};
        return poll(f, hidden(2), 2000);
      },
      wake);
  read_all(e.a, 5);
  waits(
      o, "ppoll",
      [&] {
        pollfd f[2] = {{e.a, POLLIN, 0}, {p.a, POLLIN, 0}};
        return ppoll(f, hidden(2), nullptr, nullptr);
      },
      wake);
  const descriptor f = scratch_file("0123456789");
  waits(
      o, "pread",
      [&] {
        sized s;
        return pread(f, s.data, hidden(4), 3);
      },
      [] {});
  waits(
      o, "pread64",
      [&] {
        sized s;
        return pread64(f, s.data, hidden(64), 3);
      },
      [] {});
  waits(
      o, "read_nothing",
      [&] {
        sized s;
        return read(f, s.data, hidden(0));
      },
      [] {});
}

COIR_ROW("fortified: an overflow ends the process" COIR_LEVEL) {
  const both_ends e = make(kind::unix_stream);
  const descriptor f = scratch_file("0123456789");
  write_all(e.b, "hello");
  overflow(o, "read", true, [&] {
    sized s;
    return read(e.a, s.data, hidden(65));
  });
  overflow(o, "recv", true, [&] {
    sized s;
    return recv(e.a, s.data, hidden(1000), MSG_DONTWAIT);
  });
  overflow(o, "recvfrom", true, [&] {
    sized s;
    return recvfrom(e.a, s.data, hidden(65), MSG_DONTWAIT, nullptr, nullptr);
  });
  overflow(o, "pread", true, [&] {
    sized s;
    return pread(f, s.data, hidden(65), 0);
  });
  overflow(o, "pread64", true, [&] {
    sized s;
    return pread64(f, s.data, hidden(65), 0);
  });
  overflow(o, "poll", true, [&] {
    pollfd fds[2] = {{e.a, POLLIN, 0}, {e.a, POLLIN, 0}};
    return poll(fds, hidden(3), 0);
  });
  overflow(o, "ppoll", true, [&] {
    pollfd fds[2] = {{e.a, POLLIN, 0}, {e.a, POLLIN, 0}};
    const timespec none = {};
    return ppoll(fds, hidden(3), &none, nullptr);
  });
  overflow(o, "nothing", false, [&] {
    sized s;
    return read(f, s.data, hidden(64));
  });
}

namespace {

int print(FILE* f, const char* format, ...) {
  va_list rest;
  va_start(rest, format);
  const int r = vfprintf(f, format, rest);
  va_end(rest);
  return r;
}

int print(int fd, const char* format, ...) {
  va_list rest;
  va_start(rest, format);
  const int r = vdprintf(fd, format, rest);
  va_end(rest);
  return r;
}

// A compiler that sees a format without conversions makes it a fputs.
const char* as_it_is(const char* format) {
  const char* volatile v = format;
  return v;
}

}  // namespace

COIR_ROW("fortified: what is printed waits for the reader" COIR_LEVEL) {
  const auto printing = [&](const char* what, auto call) {
    both_ends e = make(kind::pipe);
    const std::size_t filled = fill(e.b);
    FILE* f = fdopen(dup(e.b), "w");
    setvbuf(f, nullptr, _IONBF, 0);
    waits(
        o, what, [&] { return call(f, e.b); }, [&] { read_all(e.a, filled); });
    o.say("%s", read_all(e.a, 6).c_str());
    fclose(f);
  };
  printing("fprintf", [](FILE* f, int) { return fprintf(f, as_it_is("12%d%s"), 34, "56"); });
  printing("vfprintf", [](FILE* f, int) { return print(f, as_it_is("12%d%s"), 34, "56"); });
  printing("dprintf", [](FILE*, int fd) { return dprintf(fd, as_it_is("12%d%s"), 34, "56"); });
  printing("vdprintf", [](FILE*, int fd) { return print(fd, as_it_is("12%d%s"), 34, "56"); });
}

COIR_ROW_WITH(libc_checks, "fortified: %n in a format that can be written to ends the process" COIR_LEVEL) {
  const both_ends e = make(kind::pipe);
  char format[] = "%d%n";
  int n = 0;
  const bool refused = COIR_FORTIFY_LEVEL >= 2;
  overflow(o, "fprintf", refused, [&] { return fprintf(fdopen(dup(e.b), "w"), format, 1, &n); });
  overflow(o, "dprintf", refused, [&] { return dprintf(e.b, format, 1, &n); });
  overflow(o, "fprintf of a constant", false, [&] { return fprintf(fdopen(dup(e.b), "w"), "%d%n", 1, &n); });
}

COIR_ROW_WITH(own_process, "fortified: printf and vprintf wait for the reader" COIR_LEVEL) {
  both_ends e = make(kind::pipe);
  const std::size_t filled = fill(e.b);
  fflush(stdout);
  const int saved = dup(1);
  COIR_MUST(dup2(e.b, 1));
  e.b.close();
  std::string all;
  flow reader("reader", [&](log& r) {
    settle();
    r.say("writer waits");
    all = read_all(e.a);
  });
  const int r = printf(as_it_is("<%d>"), 1);
  const auto v = [](const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    const int printed = vprintf(format, rest);
    va_end(rest);
    return printed;
  };
  o.say("%d %d", r, v(as_it_is("<%d>"), 2));
  fflush(stdout);
  COIR_MUST(dup2(saved, 1));
  close(saved);
  reader.join();
  o.say("%s", all.c_str() + filled);
}

// What _FORTIFY_SOURCE makes of the calls: built once for each of its levels, with buffers whose size the
// compiler knows only at run time, so that __recv_chk and the like are really imported (fortify_names.py
// looks).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

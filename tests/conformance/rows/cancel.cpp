// Cancellation and timeout scopes in patched calls: -1 with ECANCELED or ETIMEDOUT, and nothing is lost. On
// fibers only, since threads know no such thing.
#include <coir/coir.hpp>

#include <arpa/nameser.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pty.h>
#include <resolv.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <threads.h>
#include <unistd.h>

#include <thread>

#include "../row.hpp"
#include "../things.hpp"
#include "interrupted.hpp"

using namespace conformance;

namespace {

char buffer[256];
iovec one = {buffer, sizeof buffer};

msghdr message() {
  msghdr m = {};
  m.msg_iov = &one;
  m.msg_iovlen = 1;
  return m;
}

void still_usable(log& o, const both_ends& e, const std::string& what) {
  write_all(e.b, "whole");
  o.check(read_all(e.a, 5) == "whole", (what + ": usable afterwards, and nothing is lost").c_str());
}

}  // namespace

COIR_ROW_WITH(fibers_only, "cancel: while the stack unwinds, calls wait; limits made inside end them") {
  both_ends full = make(kind::pipe), empty = make(kind::unix_stream);
  const std::size_t filled = fill(full.b);
  FILE* f = fdopen(dup(full.b), "w");
  fputs("flushed ", f);
  set_timeout(empty.a, SO_RCVTIMEO, 20'000);
  struct clean_up {
    log& o;
    FILE* f;
    const both_ends &full, &empty;
    ~clean_up() {
      o.check(fflush(f) == 0, "fflush");
      o.check(write(full.b, "written", 7) == 7, "write");
      o.check(recv(empty.a, buffer, 1, 0) == -1 && errno == EAGAIN, "SO_RCVTIMEO");
      const coir::timeout limit(20ms);
      o.check(recv(empty.b, buffer, 1, 0) == -1 && errno == ETIMEDOUT, "a timeout of its own");
    }
  };
  for (const bool cancels : {true, false}) {
    auto doomed = coir::spawn([&] {
      const coir::timeout around(cancels ? 10s : 10ms);
      const clean_up c{o, f, full, empty};
      coir::this_fiber::sleep_for(1h);
    });
    settle();
    if (cancels) doomed.cancel();
    nap(20);
    o.check(!doomed.ready(), "waits for the reader");
    read_all(full.a, filled);
    try {
      doomed.get();
    } catch (...) {
    }
    o.check(bytes_waiting(full.a) == (cancels ? 15 : 7), "all arrives");
    read_all(full.a, cancels ? 15 : 7);
    fill(full.b);
  }
  fclose(f);
}

COIR_ROW_WITH(fibers_only, "cancel: every receiving call") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::udp}) {
    const both_ends e = make(k);
    const std::string name = name_of(k);
    interrupted(o, name + " read", [&] { return read(e.a, buffer, sizeof buffer); });
    interrupted(o, name + " readv", [&] { return readv(e.a, &one, 1); });
    interrupted(o, name + " recv", [&] { return recv(e.a, buffer, sizeof buffer, 0); });
    interrupted(o, name + " recv peek", [&] { return recv(e.a, buffer, sizeof buffer, MSG_PEEK); });
    interrupted(o, name + " recv all", [&] { return recv(e.a, buffer, sizeof buffer, MSG_WAITALL); });
    interrupted(o, name + " recvfrom", [&] {
      sockaddr_storage from;
      socklen_t size = sizeof from;
      return recvfrom(e.a, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    });
    interrupted(o, name + " recvmsg", [&] {
      msghdr m = message();
      return recvmsg(e.a, &m, 0);
    });
    interrupted(o, name + " recvmmsg", [&] {
      mmsghdr mm = {message(), 0};
      return recvmmsg(e.a, &mm, 1, 0, nullptr);
    });
    still_usable(o, e, name);
  }
}

COIR_ROW_WITH(fibers_only, "cancel: every sending call") {
  const both_ends e = make(kind::unix_stream);  // a full TCP socket may find room by itself
  const std::size_t filled = fill(e.b);
  interrupted(o, "write", [&] { return write(e.b, "lost", 4); });
  interrupted(o, "writev", [&] { return writev(e.b, &one, 1); });
  interrupted(o, "send", [&] { return send(e.b, "lost", 4, 0); });
  interrupted(o, "sendto", [&] { return sendto(e.b, "lost", 4, 0, nullptr, 0); });
  interrupted(o, "sendmsg", [&] {
    const msghdr m = message();
    return sendmsg(e.b, &m, 0);
  });
  interrupted(o, "sendmmsg", [&] {
    mmsghdr mm = {message(), 0};
    return sendmmsg(e.b, &mm, 1, 0);
  });
  read_all(e.a, filled);
  still_usable(o, e, "unix stream");
  const both_ends d = make(kind::unix_datagram);
  fill(d.b);
  interrupted(o, "datagram send", [&] { return send(d.b, "lost", 4, 0); });
}

COIR_ROW_WITH(fibers_only, "cancel: pipes, FIFOs, terminals and other descriptors") {
  const both_ends p = make(kind::pipe);
  interrupted(o, "pipe read", [&] { return read(p.a, buffer, sizeof buffer); });
  interrupted(o, "pipe readv", [&] { return readv(p.a, &one, 1); });
  still_usable(o, p, "pipe");
  const std::size_t filled = fill(p.b);
  interrupted(o, "pipe write", [&] { return write(p.b, "lost", 4); });
  interrupted(o, "pipe writev", [&] { return writev(p.b, &one, 1); });
  interrupted(o, "vmsplice", [&] { return vmsplice(p.b, &one, 1, 0); });
  read_all(p.a, filled);
  still_usable(o, p, "pipe");
  const descriptor event(eventfd(0, 0)), timer(timerfd_create(CLOCK_MONOTONIC, 0)), notify(inotify_init1(0));
  interrupted(o, "eventfd read", [&] { return read(event, buffer, 8); });
  interrupted(o, "eventfd_read", [&] {
    eventfd_t value;
    return eventfd_read(event, &value);
  });
  eventfd_write(event, ~eventfd_t{0} - 1);
  interrupted(o, "eventfd_write", [&] { return eventfd_write(event, 1); });
  const itimerspec far = {{0, 0}, {1000, 0}};
  timerfd_settime(timer, 0, &far, nullptr);
  interrupted(o, "timerfd", [&] { return read(timer, buffer, 8); });
  interrupted(o, "inotify", [&] { return read(notify, buffer, sizeof buffer); });
  sigset_t none;
  sigemptyset(&none);
  const descriptor signals(signalfd(-1, &none, 0));
  interrupted(o, "signalfd", [&] { return read(signals, buffer, sizeof buffer); });
  const scratch_path path("fifo");
  COIR_MUST(mkfifo(path.c_str(), 0600));
  both_ends fifo;
  fifo.a = descriptor(COIR_MUST(open(path.c_str(), O_RDONLY | O_NONBLOCK)));
  set_nonblocking(fifo.a, false);
  fifo.b = descriptor(COIR_MUST(open(path.c_str(), O_WRONLY)));
  interrupted(o, "FIFO read", [&] { return read(fifo.a, buffer, sizeof buffer); });
  still_usable(o, fifo, "FIFO");
  fill(fifo.b);
  interrupted(o, "FIFO write", [&] { return write(fifo.b, "lost", 4); });
  int master, slave;
  COIR_MUST(openpty(&master, &slave, nullptr, nullptr, nullptr));
  const descriptor m(master), s(slave);
  interrupted(o, "terminal", [&] { return read(s, buffer, sizeof buffer); });
}

COIR_ROW_WITH(fibers_only, "cancel: opening a FIFO, and nothing stays open") {
  const scratch_path path("fifo");
  COIR_MUST(mkfifo(path.c_str(), 0600));
  const auto is_null = [](FILE* f) { return f == nullptr ? -1 : 0; };
  interrupted(o, "open to read", [&] { return open(path.c_str(), O_RDONLY); });
  interrupted(o, "open to write", [&] { return open(path.c_str(), O_WRONLY); });
  interrupted(o, "openat", [&] { return openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC); });
  interrupted(o, "creat", [&] { return creat(path.c_str(), 0600); });
  interrupted(o, "fopen to read", [&] { return is_null(fopen(path.c_str(), "r")); });
  interrupted(o, "fopen to write", [&] { return is_null(fopen(path.c_str(), "w")); });
  interrupted(o, "freopen", [&] {
    FILE* f = fopen("/dev/null", "r");
    const int number = fileno(f);
    const int r = is_null(freopen(path.c_str(), "r", f)), error = errno;
    o.check(fcntl(number, F_GETFD) == -1, "the stream is closed");
    errno = error;
    return r;
  });
  o.check(open(path.c_str(), O_WRONLY | O_NONBLOCK) == -1 && errno == ENXIO, "no reader is left");
}

COIR_ROW_WITH(fibers_only, "cancel: a question to the resolver goes on without who asked") {
  const descriptor server(COIR_MUST(socket(AF_INET, SOCK_DGRAM, 0)));
  sockaddr_in address = {};
  auto* where = reinterpret_cast<sockaddr*>(&address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  COIR_MUST(bind(server, where, size));
  COIR_MUST(getsockname(server, where, &size));
  COIR_MUST(res_ninit(&_res));
  _res.options = RES_INIT | RES_RECURSE;
  _res.nscount = 1;
  _res.nsaddr_list[0] = address;
  const auto lowest = [] { return descriptor(COIR_MUST(dup(0))).operator int(); };
  const int before = lowest();
  unsigned char text[512];
  interrupted(o, "res_query", [&] {
    h_errno = 0;
    const int n = res_query("a.test", ns_c_in, ns_t_a, text, sizeof text);
    o.check(h_errno == NETDB_INTERNAL, "h_errno refers to errno");
    return n;
  });
  const auto answer = [&] {
    for (ssize_t n; (n = recvfrom(server, text, sizeof text, MSG_DONTWAIT, where, &size)) > 3;) {
      text[2] |= 0x80;  // an answer, and it is no
      text[3] = 3;
      sendto(server, text, static_cast<size_t>(n), 0, where, size);
    }
  };
  for (const stopwatch since; answer(), since.milliseconds() < 1000 && lowest() != before;) nap(5);
  o.check(lowest() == before, "the questions end with their answers");
}

COIR_ROW_WITH(fibers_only, "cancel: accept and connect") {
  const listener l;
  interrupted(o, "accept", [&] { return accept(l.fd, nullptr, nullptr); });
  interrupted(o, "accept4", [&] { return accept4(l.fd, nullptr, nullptr, SOCK_CLOEXEC); });
  const descriptor from = tcp_socket();
  o.check(connect(from, l.where(), l.size) == 0, "connect");
  const descriptor to(accept(l.fd, nullptr, nullptr));
  o.check(to >= 0, "the listener accepts afterwards");
  full_listener full;
  const descriptor late = tcp_socket();
  interrupted(o, "connect", [&] { return connect(late, full.where.where(), listener::size); });
  const scratch_path path("listener");
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  const descriptor u(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0))),
      first(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0))), second(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  COIR_MUST(bind(u, where, size));
  COIR_MUST(listen(u, 0));
  o.check(connect(first, where, size) == 0, "the first connects");
  interrupted(o, "unix connect", [&] { return connect(second, where, size); });
}

COIR_ROW_WITH(fibers_only, "cancel: poll, select and epoll_wait") {
  const both_ends e = make(kind::unix_stream);
  pollfd f = {e.a, POLLIN, 0};
  const timespec t = {5, 0};
  interrupted(o, "poll", [&] { return poll(&f, 1, -1); });
  interrupted(o, "poll of nothing", [&] { return poll(nullptr, 0, 5000); });
  interrupted(o, "ppoll", [&] { return ppoll(&f, 1, &t, nullptr); });
  fd_set in;
  interrupted(o, "select", [&] {
    FD_ZERO(&in);
    FD_SET(e.a, &in);
    const int r = select(e.a + 1, &in, nullptr, nullptr, nullptr);
    const int error = errno;
    o.check(FD_ISSET(e.a, &in), "the sets stay");
    errno = error;
    return r;
  });
  interrupted(o, "pselect", [&] { return pselect(0, nullptr, nullptr, nullptr, &t, nullptr); });
  const descriptor poller(COIR_MUST(epoll_create1(0)));
  epoll_event event;
  interrupted(o, "epoll_wait", [&] { return epoll_wait(poller, &event, 1, -1); });
  interrupted(o, "epoll_pwait", [&] { return epoll_pwait(poller, &event, 1, 5000, nullptr); });
  interrupted(o, "epoll_pwait2", [&] { return epoll_pwait2(poller, &event, 1, &t, nullptr); });
  still_usable(o, e, "unix stream");
}

COIR_ROW_WITH(fibers_only, "cancel: splice, tee and sendfile") {
  const both_ends p = make(kind::pipe), q = make(kind::pipe), e = make(kind::tcp),
                  u = make(kind::unix_stream);
  interrupted(o, "splice", [&] { return splice(p.a, nullptr, q.b, nullptr, 10, 0); });
  interrupted(o, "tee", [&] { return tee(p.a, q.b, 10, 0); });
  interrupted(o, "splice from tcp", [&] { return splice(e.a, nullptr, q.b, nullptr, 10, 0); });
  interrupted(o, "splice from unix", [&] { return splice(u.a, nullptr, q.b, nullptr, 10, 0); });
  const descriptor f = scratch_file("0123456789");
  fill(u.b);
  interrupted(o, "sendfile", [&] {
    off_t at = 2;
    const ssize_t r = sendfile(u.b, f, &at, 5);
    const int error = errno;
    o.check(at == 2, "the offset stays");
    errno = error;
    return r;
  });
  interrupted(o, "sendfile by position", [&] { return sendfile(u.b, f, nullptr, 5); });
  o.check(lseek(f, 0, SEEK_CUR) == 0, "the position stays");
  fill(q.b);
  interrupted(o, "sendfile to a pipe", [&] { return sendfile(q.b, f, nullptr, 5); });
  write_all(p.b, "hello");
  interrupted(o, "splice to a full socket", [&] { return splice(p.a, nullptr, u.b, nullptr, 5, 0); });
  o.check(read_all(p.a, 5) == "hello", "what was not moved stays in the pipe");
}

COIR_ROW_WITH(fibers_only, "cancel: sleeps, and what they say is left") {
  const timespec t = {5, 500'000'000};
  timespec left = {};
  const stopwatch since;
  const auto check_left = [&](int r, int error) {
    o.left(since, 5500, static_cast<double>(left.tv_sec) * 1e3 + static_cast<double>(left.tv_nsec) / 1e6);
    left = {};
    errno = error;
    return r;
  };
  interrupted(o, "usleep", [&] { return usleep(5'000'000); });
  interrupted(o, "pause", [&] { return pause(); });
  interrupted(o, "nanosleep", [&] {
    const int r = nanosleep(&t, nullptr);
    return r;
  });
  interrupted(o, "clock_nanosleep", [&] { return clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr); });
  interrupted(o, "clock_nanosleep absolute", [&] {
    timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += 5;
    return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, nullptr);
  });
  unsigned slept = 0, slept_one = 0;
  int thread_sleep = 0;
  coir::fiber<void> f = coir::spawn([&] {
    slept = sleep(5);
    slept_one = sleep(1);
    thread_sleep = thrd_sleep(&t, nullptr);
    const int r = nanosleep(&t, &left);
    check_left(r, errno);
    check_left(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &left), 0);
  });
  settle();
  f.cancel();
  f.join();
  o.check(slept == 5, "sleep(5) says 5 are left");
  o.check(slept_one == 1, "sleep(1) does not look as if it had ended");
  o.check(thread_sleep < -1, "thrd_sleep says it failed, and not by a signal");
}

COIR_ROW_WITH(fibers_only, "cancel: who tries again and again does not keep others from running") {
  const both_ends e = make(kind::unix_stream);
  char data[8];
  const auto beside = [&](const char* what, const std::function<void()>& call) {
    bool stop = false;
    coir::fiber<void> f = coir::spawn([&] {
      while (!stop) call();
    });
    settle();
    f.cancel();
    flow other("other", [](log&) {
      for (int i = 0; i < 10; ++i) nap(1);
    });
    for (const stopwatch since; !other.done() && since.milliseconds() < 900;) nap(5);
    o.say("beside %s the other %s", what, other.state());
    stop = true;
    f.join();
  };
  beside("recv", [&] { recv(e.a, data, sizeof data, 0); });
  beside("read", [&] { read(e.a, data, sizeof data) == 0 ? abort() : void(); });
  beside("usleep", [&] { usleep(1'000'000); });
  beside("poll", [&] {
    pollfd p = {e.a, POLLIN, 0};
    poll(&p, 1, -1);
  });
  beside("sleep_for", [&] {
    try {
      coir::this_fiber::sleep_for(1s);
    } catch (const coir::cancelled&) {
    }
  });
  coir::event never;
  beside("wait", [&] {
    try {
      never.wait();
    } catch (const coir::cancelled&) {
    }
  });
}

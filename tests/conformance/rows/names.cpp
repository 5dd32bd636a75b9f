// Names that come in several spellings: each is called by its own, whatever the headers make of it.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

extern "C" {
ssize_t plain_pread(int, void*, size_t, off_t) __asm__("pread");
ssize_t wide_pread(int, void*, size_t, off_t) __asm__("pread64");
ssize_t plain_pwrite(int, const void*, size_t, off_t) __asm__("pwrite");
ssize_t wide_pwrite(int, const void*, size_t, off_t) __asm__("pwrite64");
ssize_t plain_preadv(int, const iovec*, int, off_t) __asm__("preadv");
ssize_t wide_preadv(int, const iovec*, int, off_t) __asm__("preadv64");
ssize_t plain_preadv2(int, const iovec*, int, off_t, int) __asm__("preadv2");
ssize_t wide_preadv2(int, const iovec*, int, off_t, int) __asm__("preadv64v2");
ssize_t plain_pwritev(int, const iovec*, int, off_t) __asm__("pwritev");
ssize_t wide_pwritev(int, const iovec*, int, off_t) __asm__("pwritev64");
ssize_t plain_pwritev2(int, const iovec*, int, off_t, int) __asm__("pwritev2");
ssize_t wide_pwritev2(int, const iovec*, int, off_t, int) __asm__("pwritev64v2");
ssize_t plain_sendfile(int, int, off_t*, size_t) __asm__("sendfile");
ssize_t wide_sendfile(int, int, off_t*, size_t) __asm__("sendfile64");
int plain_fcntl(int, int, ...) __asm__("fcntl");
int wide_fcntl(int, int, ...) __asm__("fcntl64");
int inner_poll(pollfd*, nfds_t, int) __asm__("__poll");
}

COIR_ROW("names: the wide and the plain ones do the same to a file") {
  const descriptor f = scratch_file("0123456789");
  char data[16] = {};
  iovec v = {data, 3};
  const auto say = [&] { o.say("%.3s", data); };
  COIR_OBSERVE(o, plain_pread(f, data, 3, 1)), say();
  COIR_OBSERVE(o, wide_pread(f, data, 3, 2)), say();
  COIR_OBSERVE(o, plain_preadv(f, &v, 1, 3)), say();
  COIR_OBSERVE(o, wide_preadv(f, &v, 1, 4)), say();
  COIR_OBSERVE(o, plain_preadv2(f, &v, 1, 5, 0)), say();
  COIR_OBSERVE(o, wide_preadv2(f, &v, 1, 6, 0)), say();
  COIR_OBSERVE(o, plain_pwrite(f, "ab", 2, 10));
  COIR_OBSERVE(o, wide_pwrite(f, "cd", 2, 12));
  iovec w = {const_cast<char*>("ef"), 2};
  COIR_OBSERVE(o, plain_pwritev(f, &w, 1, 14));
  COIR_OBSERVE(o, wide_pwritev(f, &w, 1, 16));
  COIR_OBSERVE(o, plain_pwritev2(f, &w, 1, 18, 0));
  COIR_OBSERVE(o, wide_pwritev2(f, &w, 1, 20, 0));
  const both_ends e = make(kind::unix_stream);
  off_t at = 0;
  COIR_OBSERVE(o, plain_sendfile(e.b, f, &at, 11));
  COIR_OBSERVE(o, wide_sendfile(e.b, f, &at, 11));
  o.say("%s", read_all(e.a, 22).c_str());
}

COIR_ROW("names: each of those that may wait does") {
  const both_ends e = make(kind::pipe);
  char data[16];
  iovec v = {data, 16};
  const auto waits = [&](const char* what, auto call) {
    flow waiter(what, [&](log& w) {
      errno = untouched;
      const long r = call();
      w.result(what, r, errno);
    });
    settle();
    o.say("%s: %s", what, waiter.state());
    write_all(e.b, "hello");
  };
  waits("preadv2", [&] { return plain_preadv2(e.a, &v, 1, -1, 0); });
  waits("preadv64v2", [&] { return wide_preadv2(e.a, &v, 1, -1, 0); });
  waits("__poll", [&] {
    pollfd f = {e.a, POLLIN, 0};
    return inner_poll(&f, 1, 2000);
  });
  read_all(e.a, 5);
  const std::size_t filled = fill(e.b);
  const auto waits_for_room = [&](const char* what, auto call) {
    flow waiter(what, [&](log& w) {
      errno = untouched;
      const long r = call();
      w.result(what, r, errno);
    });
    settle();
    o.say("%s: %s", what, waiter.state());
    read_all(e.a, filled);
    waiter.join();
    read_all(e.a, 16);
    fill(e.b);
  };
  waits_for_room("pwritev2", [&] { return plain_pwritev2(e.b, &v, 1, -1, 0); });
  waits_for_room("pwritev64v2", [&] { return wide_pwritev2(e.b, &v, 1, -1, 0); });
}

COIR_ROW("names: both fcntl pass every kind of argument") {
  for (auto* call : {plain_fcntl, wide_fcntl}) {
    const both_ends e = make(kind::pipe);
    COIR_OBSERVE(o, call(e.a, F_GETFD));
    COIR_OBSERVE(o, call(e.a, F_SETFD, 0));
    COIR_OBSERVE(o, call(e.a, F_GETFD));
    const descriptor twin(call(e.a, F_DUPFD_CLOEXEC, 600));
    o.check(twin >= 600, "F_DUPFD_CLOEXEC");
    COIR_OBSERVE(o, call(e.b, F_SETPIPE_SZ, 8192));
    COIR_OBSERVE(o, call(e.b, F_GETPIPE_SZ));
    COIR_OBSERVE(o, call(e.a, F_GETFL));
    COIR_OBSERVE(o, call(e.a, F_SETFL, O_NONBLOCK));
    char data[4];
    COIR_OBSERVE(o, read(e.a, data, 4));
    COIR_OBSERVE(o, call(e.a, F_SETFL, 0));
    const descriptor f = scratch_file("content");
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    COIR_OBSERVE(o, call(f, F_SETLK, &lock));
    lock.l_type = F_RDLCK;
    COIR_OBSERVE(o, call(f, F_GETLK, &lock));
    o.say("lock type %d", lock.l_type);
    COIR_OBSERVE(o, call(closed_number(), F_GETFL));
    COIR_OBSERVE(o, call(e.a, 9999));
  }
  const both_ends e = make(kind::tcp);
  write_all(e.b, "hello");
  int n = 0;
  COIR_OBSERVE(o, ioctl(e.a, FIONREAD, &n));
  o.say("%d bytes", n);
  COIR_OBSERVE(o, ioctl(e.a, 0x7fff, &n));
}

// Wrong descriptors, wrong pointers, wrong kinds of file: the kernel's errno, at once, and no crash.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

char data[64];
iovec one = {data, sizeof data};

// Every call of the set on one descriptor.
void every_call(log& o, int fd) {
  const stopwatch since;
  msghdr m = {};
  m.msg_iov = &one;
  m.msg_iovlen = 1;
  mmsghdr mm = {m, 0};
  COIR_OBSERVE(o, read(fd, data, 1));
  COIR_OBSERVE(o, write(fd, data, 1));
  COIR_OBSERVE(o, readv(fd, &one, 1));
  COIR_OBSERVE(o, writev(fd, &one, 1));
  COIR_OBSERVE(o, pread(fd, data, 1, 0));
  COIR_OBSERVE(o, pwrite(fd, data, 1, 0));
  COIR_OBSERVE(o, preadv(fd, &one, 1, 0));
  COIR_OBSERVE(o, pwritev(fd, &one, 1, 0));
  COIR_OBSERVE(o, preadv2(fd, &one, 1, 0, 0));
  COIR_OBSERVE(o, pwritev2(fd, &one, 1, 0, 0));
  COIR_OBSERVE(o, recv(fd, data, 1, 0));
  COIR_OBSERVE(o, recv(fd, data, 1, MSG_WAITALL));
  COIR_OBSERVE(o, recvfrom(fd, data, 1, 0, nullptr, nullptr));
  COIR_OBSERVE(o, recvmsg(fd, &m, 0));
  COIR_OBSERVE(o, recvmsg(fd, &m, MSG_WAITALL));
  COIR_OBSERVE(o, recvmmsg(fd, &mm, 1, 0, nullptr));
  COIR_OBSERVE(o, recvmmsg(fd, &mm, 0, 0, nullptr));
  COIR_OBSERVE(o, send(fd, data, 1, MSG_NOSIGNAL));
  COIR_OBSERVE(o, sendto(fd, data, 1, MSG_NOSIGNAL, nullptr, 0));
  COIR_OBSERVE(o, sendmsg(fd, &m, MSG_NOSIGNAL));
  COIR_OBSERVE(o, sendmmsg(fd, &mm, 1, MSG_NOSIGNAL));
  COIR_OBSERVE(o, sendmmsg(fd, &mm, 0, MSG_NOSIGNAL));
  COIR_OBSERVE(o, accept(fd, nullptr, nullptr));
  COIR_OBSERVE(o, accept4(fd, nullptr, nullptr, 0));
  const sockaddr address = {AF_INET, {}};
  COIR_OBSERVE(o, connect(fd, &address, 3));
  COIR_OBSERVE(o, sendfile(fd, fd, nullptr, 1));
  COIR_OBSERVE(o, splice(fd, nullptr, fd, nullptr, 1, 0));
  COIR_OBSERVE(o, tee(fd, fd, 1, 0));
  COIR_OBSERVE(o, copy_file_range(fd, nullptr, fd, nullptr, 1, 0));
  epoll_event event;
  COIR_OBSERVE(o, epoll_wait(fd, &event, 1, 100));
  o.took_no_time(since);
}

}  // namespace

COIR_ROW("errors: a closed descriptor is EBADF to every call") {
  every_call(o, closed_number());
  eventfd_t value;
  COIR_OBSERVE(o, eventfd_read(closed_number(), &value));
  COIR_OBSERVE(o, eventfd_write(closed_number(), 1));
  COIR_OBSERVE(o, vmsplice(closed_number(), &one, 1, 0));
}

COIR_ROW("errors: negative and huge descriptors are EBADF to every call") {
  every_call(o, -1);
  every_call(o, 2'000'000'000);
  every_call(o, 5'000'000);
  COIR_OBSERVE(o, close(2'000'000'000));
}

COIR_ROW("errors: a regular file is no socket, pipe or epoll set") {
  every_call(o, scratch_file("content"));
}

COIR_ROW("errors: an epoll set is hardly anything else") {
  every_call(o, descriptor(COIR_MUST(epoll_create1(0))));
}

COIR_ROW("errors: the wrong end of a pipe") {
  const both_ends e = make(kind::pipe);
  COIR_OBSERVE(o, read(e.b, data, 1));
  COIR_OBSERVE(o, write(e.a, data, 1));
  COIR_OBSERVE(o, readv(e.b, &one, 1));
  COIR_OBSERVE(o, writev(e.a, &one, 1));
}

COIR_ROW("errors: positions of what has none are ESPIPE") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::udp}) {
    const both_ends e = make(k);
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, pread(e.a, data, 1, 0));
    COIR_OBSERVE(o, pwrite(e.b, data, 1, 0));
    COIR_OBSERVE(o, preadv(e.a, &one, 1, 0));
    COIR_OBSERVE(o, pwritev(e.b, &one, 1, 0));
    COIR_OBSERVE(o, preadv2(e.a, &one, 1, 5, 0));
    COIR_OBSERVE(o, lseek(e.a, 0, SEEK_SET));
    COIR_OBSERVE(o, pread(e.a, data, 0, 0));
  }
}

COIR_ROW("errors: what is no socket is ENOTSOCK") {
  const both_ends e = make(kind::pipe);
  const stopwatch since;
  COIR_OBSERVE(o, recv(e.a, data, 1, 0));
  COIR_OBSERVE(o, recv(e.a, data, 1, MSG_PEEK));
  COIR_OBSERVE(o, send(e.b, data, 1, 0));
  COIR_OBSERVE(o, accept(e.a, nullptr, nullptr));
  COIR_OBSERVE(o, getsockname(e.a, nullptr, nullptr));
  COIR_OBSERVE(o, shutdown(e.a, SHUT_RD));
  o.took_no_time(since);
}

COIR_ROW("errors: sockets that are not connected") {
  const descriptor stream = tcp_socket(), datagram(COIR_MUST(socket(AF_INET, SOCK_DGRAM, 0))),
                   local(COIR_MUST(socket(AF_UNIX, SOCK_STREAM, 0))),
                   packets(COIR_MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0)));
  const listener l;
  const stopwatch since;
  for (const int fd : {static_cast<int>(stream), static_cast<int>(local), static_cast<int>(packets),
                       static_cast<int>(l.fd)}) {
    COIR_OBSERVE(o, recv(fd, data, 1, 0));
    COIR_OBSERVE(o, read(fd, data, 1));
    COIR_OBSERVE(o, recv(fd, data, 1, MSG_WAITALL));
    COIR_OBSERVE(o, send(fd, data, 1, MSG_NOSIGNAL));
    COIR_OBSERVE(o, write(fd, data, 1));
    pollfd f = {fd, POLLIN | POLLOUT, 0};
    COIR_OBSERVE(o, poll(&f, 1, 10));
    o.say("events %x", f.revents);
  }
  COIR_OBSERVE(o, send(datagram, data, 1, 0));
  o.took_no_time(since);
}

COIR_ROW("errors: bad buffers are EFAULT, whether data waits or comes later") {
  char* bad = bad_pointer<char>(16);
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    COIR_OBSERVE(o, write(e.b, bad, 10));
    if (k != kind::pipe) COIR_OBSERVE(o, send(e.b, bad, 10, 0));
    write_all(e.b, "12345678");
    COIR_OBSERVE(o, read(e.a, bad, 4));
    write_all(e.b, "12345678");
    if (k != kind::pipe) COIR_OBSERVE(o, recv(e.a, bad, 4, 0));
    write_all(e.b, "12345678");
    iovec v[2] = {{data, 2}, {bad, 4}};
    errno = 0;
    const ssize_t n = readv(e.a, v, 2);
    o.say("partly bad: %zd %d", n, n < 0 ? errno : 0);
    set_nonblocking(e.a, true);
    while (read(e.a, data, sizeof data) > 0) {
    }
    set_nonblocking(e.a, false);
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(e.a, bad, 4)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "12345678");
  }
  const descriptor f = scratch_file("content");
  COIR_OBSERVE(o, read(f, bad, 4));
  COIR_OBSERVE(o, pread(f, bad, 4, 0));
  COIR_OBSERVE(o, write(f, bad, 4));
  COIR_OBSERVE(o, pwrite(f, bad, 4, 0));
}

COIR_ROW_WITH(bad_reads, "errors: bad buffers at the very end of memory") {
  char* bad = bad_pointer<char>(~0UL - 100);
  const both_ends e = make(kind::unix_stream);
  const descriptor f = scratch_file("content");
  write_all(e.b, "12345678");
  COIR_OBSERVE(o, read(e.a, bad, 4));
  COIR_OBSERVE(o, recv(e.a, bad, 4, 0));
  COIR_OBSERVE(o, write(e.b, bad, 4));
  COIR_OBSERVE(o, send(e.b, bad, 4, 0));
  COIR_OBSERVE(o, read(f, bad, 4));
  COIR_OBSERVE(o, poll(reinterpret_cast<pollfd*>(bad), 1, -1));
}

COIR_ROW("errors: null messages and address buffers") {
  const both_ends e = make(kind::unix_stream), u = make(kind::udp);
  write_all(e.b, "12345678");
  write_all(u.b, "12345678");
  COIR_OBSERVE(o, recvmsg(e.a, nullptr, 0));
  COIR_OBSERVE(o, sendmsg(e.b, nullptr, 0));
  COIR_OBSERVE(o, recvmmsg(e.a, nullptr, 1, 0, nullptr));
  COIR_OBSERVE(o, sendmmsg(e.b, nullptr, 1, 0));
  sockaddr_storage from;
  COIR_OBSERVE(o, recvfrom(u.a, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), nullptr));
  COIR_OBSERVE(o, sendto(u.b, data, 1, 0, bad_pointer<sockaddr>(16), 16));
  COIR_OBSERVE(o, sendto(u.b, data, 1, 0, reinterpret_cast<sockaddr*>(&from), 1000));
}

COIR_ROW("errors: bad flags") {
  const both_ends e = make(kind::unix_stream), t = make(kind::tcp);
  write_all(e.b, "x");
  const stopwatch since;
  COIR_OBSERVE(o, send(e.b, data, 1, MSG_OOB | MSG_DONTWAIT));
  COIR_OBSERVE(o, recv(e.a, data, 1, MSG_ERRQUEUE));
  COIR_OBSERVE(o, recv(t.a, data, 1, MSG_ERRQUEUE));
  const both_ends u = make(kind::udp);
  COIR_OBSERVE(o, recv(u.a, data, 1, MSG_ERRQUEUE));
  COIR_OBSERVE(o, send(u.b, data, 1, MSG_OOB));
  COIR_OBSERVE(o, socket(AF_INET, 77, 0));
  COIR_OBSERVE(o, socket(77, SOCK_STREAM, 0));
  o.took_no_time(since);
  flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(u.a, data, 1, MSG_OOB)); });
  settle();
  o.say("the reader %s", reader.state());
  write_all(u.b, "x");
}

COIR_ROW("errors: an errno from before survives every success") {
  // COIR_OBSERVE checks it for each call; here for the ones that wait.
  const both_ends e = make(kind::tcp);
  flow writer("writer", [&](log&) {
    for (int i = 0; i < 4; ++i) {
      settle();
      write_all(e.b, "x");
    }
  });
  COIR_OBSERVE(o, recv(e.a, data, 1, 0));
  pollfd f = {e.a, POLLIN, 0};
  COIR_OBSERVE(o, poll(&f, 1, 2000));
  COIR_OBSERVE(o, read(e.a, data, 1));
  COIR_OBSERVE(o, readv(e.a, &one, 1));
  msghdr m = {};
  m.msg_iov = &one;
  m.msg_iovlen = 1;
  COIR_OBSERVE(o, recvmsg(e.a, &m, 0));
  COIR_OBSERVE(o, usleep(1000));
  COIR_OBSERVE(o, sleep(0));
  COIR_OBSERVE(o, poll(nullptr, 0, 2));
  COIR_OBSERVE(o, close(dup(e.a)));
}

COIR_ROW("errors: each flow has an errno of its own") {
  const both_ends e = make(kind::unix_stream);
  flow failing("failing", [&](log& f) {
    for (int i = 0; i < 20; ++i) {
      if (read(-1, data, 1) != -1 || errno != EBADF) f.say("not EBADF");
      usleep(1000);
      f.check(errno == EBADF, "errno stays through a sleep");
    }
  });
  flow other("other", [&](log& f) {
    for (int i = 0; i < 20; ++i) {
      if (recv(e.a, data, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN) f.say("not EAGAIN");
      usleep(1100);
      f.check(errno == EAGAIN, "errno stays through a sleep");
    }
  });
}

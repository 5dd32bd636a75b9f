// What travels beside the bytes: descriptors, credentials, urgent data.
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"
#include "control_message.hpp"

using namespace conformance;

namespace {

// Sends `text` with `count` descriptors.
long send_descriptors(int to, const std::string& text, const int* fds, int count) {
  control_message c;
  memcpy(c.data, text.data(), text.size());
  c.v.iov_len = text.size();
  c.carry(fds, static_cast<std::size_t>(count));
  return sendmsg(to, &c.m, 0);
}

// Receives one message and notes its text and how many descriptors came; they are returned.
std::vector<descriptor> receive_descriptors(log& o, int from, int flags = 0) {
  control_message c;
  const long n = COIR_OBSERVE(o, recvmsg(from, &c.m, flags));
  std::vector<descriptor> result;
  if (n < 0) return result;
  for (cmsghdr* h = CMSG_FIRSTHDR(&c.m); h != nullptr; h = CMSG_NXTHDR(&c.m, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      result.emplace_back(fd);
    }
  }
  o.say("\"%s\" with %zu descriptors, flags %x", c.data, result.size(), static_cast<unsigned>(c.m.msg_flags));
  return result;
}

}  // namespace

COIR_ROW("SCM_RIGHTS: a waiting recvmsg gets the descriptors, and they can be waited on") {
  for (const kind k : {kind::unix_stream, kind::unix_datagram, kind::unix_packets}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    both_ends passed = make(kind::pipe);
    std::vector<descriptor> got;
    {
      flow reader("reader", [&](log& r) { got = receive_descriptors(r, e.a, MSG_CMSG_CLOEXEC); });
      settle();
      o.say("the reader %s", reader.state());
      const int fd = passed.a;
      o.say("sent %ld", send_descriptors(e.b, "take", &fd, 1));
    }
    passed.a.close();
    if (!o.check(got.size() == 1, "one descriptor comes")) continue;
    o.check((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0, "MSG_CMSG_CLOEXEC is heeded");
    char data[8];
    flow reader("second reader", [&](log& r) { COIR_OBSERVE(r, read(got[0], data, sizeof data)); });
    settle();
    o.say("the second reader %s", reader.state());
    write_all(passed.b, "hello");
  }
}

COIR_ROW("SCM_RIGHTS: two messages back to back are two for a reader that waits") {
  const both_ends e = make(kind::unix_stream);
  const both_ends passed = make(kind::pipe);
  const int fds[2] = {passed.a, passed.b};
  flow reader("reader", [&](log& r) {
    receive_descriptors(r, e.a);
    receive_descriptors(r, e.a);
    receive_descriptors(r, e.a);
  });
  settle();
  send_descriptors(e.b, "one", fds, 1);
  send_descriptors(e.b, "two", fds, 2);
  settle();
  o.say("the reader %s", reader.state());
  write_all(e.b, "three");
}

COIR_ROW("SCM_RIGHTS: plain data before and after does not run into them") {
  const both_ends e = make(kind::unix_stream);
  const both_ends passed = make(kind::pipe);
  const int fd = passed.a;
  write_all(e.b, "before");
  send_descriptors(e.b, "with", &fd, 1);
  write_all(e.b, "after");
  flow reader("reader", [&](log& r) {
    for (int i = 0; i < 4; ++i) receive_descriptors(r, e.a);
  });
  settle();
  o.say("the reader %s", reader.state());
  if (!reader.done()) write_all(e.b, "end");
  if (settle(); !reader.done()) write_all(e.b, "end");
}

COIR_ROW("SCM_RIGHTS: MSG_WAITALL stops where descriptors came") {
  const both_ends e = make(kind::unix_stream);
  const both_ends passed = make(kind::pipe);
  const int fd = passed.a;
  flow reader("reader", [&](log& r) {
    char data[16];
    for (int i = 0; i < 2; ++i) {
      control_message c;
      c.v.iov_len = 6;
      COIR_OBSERVE(r, recvmsg(e.a, &c.m, MSG_WAITALL));
      r.say("\"%s\", control %s", c.data, c.m.msg_controllen != 0 ? "yes" : "no");
      if (cmsghdr* h = CMSG_FIRSTHDR(&c.m); h != nullptr && h->cmsg_type == SCM_RIGHTS) {
        int got;
        memcpy(&got, CMSG_DATA(h), sizeof got);
        close(got);
      }
    }
    COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_DONTWAIT));
  });
  settle();
  write_all(e.b, "abc");
  settle();
  send_descriptors(e.b, "def", &fd, 1);
  settle();
  write_all(e.b, "ghi");
  settle();
  if (!reader.done()) write_all(e.b, "jklmnopqrst");
}

COIR_ROW("SCM_RIGHTS: a large sendmsg carries them once") {
  const both_ends e = make(kind::unix_stream);
  const both_ends passed = make(kind::pipe);
  const std::string large = pattern(2 << 20);
  flow writer("writer", [&](log& w) {
    const int fd = passed.a;
    control_message c;
    c.v = {const_cast<char*>(large.data()), large.size()};
    c.carry(&fd, 1);
    COIR_OBSERVE(w, sendmsg(e.b, &c.m, 0));
  });
  settle();
  std::size_t total = 0;
  int descriptors = 0;
  while (total < large.size()) {
    control_message c;
    const ssize_t n = recvmsg(e.a, &c.m, 0);
    if (n <= 0) break;
    total += static_cast<std::size_t>(n);
    for (cmsghdr* h = CMSG_FIRSTHDR(&c.m); h != nullptr; h = CMSG_NXTHDR(&c.m, h)) {
      int fd;
      memcpy(&fd, CMSG_DATA(h), sizeof fd);
      close(fd);
      ++descriptors;
    }
    char more[65536];
    if (total == large.size()) break;
    if (const ssize_t rest = recv(e.a, more, std::min(sizeof more, large.size() - total), 0); rest > 0)
      total += static_cast<std::size_t>(rest);
  }
  o.say("%zu bytes, %d descriptors", total, descriptors);
}

COIR_ROW("SCM_CREDENTIALS: a waiting recvmsg gets them") {
  const both_ends e = make(kind::unix_stream);
  const int on = 1;
  COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  flow reader("reader", [&](log& r) {
    control_message c;
    COIR_OBSERVE(r, recvmsg(e.a, &c.m, 0));
    cmsghdr* h = CMSG_FIRSTHDR(&c.m);
    if (!r.check(h != nullptr && h->cmsg_type == SCM_CREDENTIALS, "credentials come")) return;
    ucred who;
    memcpy(&who, CMSG_DATA(h), sizeof who);
    r.say("mine: %s", who.pid == getpid() && who.uid == getuid() ? "yes" : "no");
  });
  settle();
  write_all(e.b, "hello");
}

COIR_ROW("urgent data: a read stops at the mark, and the next one goes on") {
  const both_ends e = make(kind::tcp);
  char data[64];
  for (int round = 0; round < 3; ++round) {
    COIR_OBSERVE(o, send(e.b, "abc", 3, 0));
    COIR_OBSERVE(o, send(e.b, "!", 1, MSG_OOB));
    COIR_OBSERVE(o, send(e.b, "def", 3, 0));
    flow reader("reader", [&](log& r) {
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
    });
    settle();
    o.say("the reader %s", reader.state());
    COIR_OBSERVE(o, send(e.b, "ghi", 3, 0));
  }
}

COIR_ROW("urgent data: MSG_OOB never waits") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[8];
    const stopwatch since;
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, recv(e.a, data, 1, MSG_OOB));
    write_all(e.b, "abc");
    COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
    COIR_OBSERVE(o, recv(e.a, data, 1, MSG_OOB));
    COIR_OBSERVE(o, send(e.b, "xyz!", 4, MSG_OOB));
    settle();
    COIR_OBSERVE(o, recv(e.a, data, 1, MSG_OOB | MSG_PEEK));
    COIR_OBSERVE(o, recv(e.a, data, 1, MSG_OOB));
    o.say("%c", data[0]);
    COIR_OBSERVE(o, recv(e.a, data, 1, MSG_OOB));
    COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
    o.took_no_time(since);
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "end");
  }
}

COIR_ROW("urgent data: with SO_OOBINLINE it comes in line") {
  const both_ends e = make(kind::tcp);
  const int on = 1;
  COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
  char data[64];
  flow reader("reader", [&](log& r) {
    for (std::size_t total = 0; total < 7;) {
      const ssize_t n = recv(e.a, data, sizeof data, 0);
      if (n <= 0) break;
      total += static_cast<std::size_t>(n);
      r.say("%.*s", static_cast<int>(n), data);
    }
  });
  settle();
  COIR_OBSERVE(o, send(e.b, "abc", 3, 0));
  settle();
  COIR_OBSERVE(o, send(e.b, "!", 1, MSG_OOB));
  settle();
  COIR_OBSERVE(o, send(e.b, "def", 3, 0));
}

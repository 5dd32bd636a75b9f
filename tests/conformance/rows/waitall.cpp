// MSG_PEEK, MSG_WAITALL and SO_RCVLOWAT, where the data comes piece by piece.
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

std::string text(const char* data, long n) {
  return n > 0 ? std::string(data, static_cast<std::size_t>(n)) : "-";
}

// Sends `parts` with a pause after each.
void drip(int fd, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    write_all(fd, part);
    settle();
  }
}

}  // namespace

COIR_ROW("MSG_PEEK: waits, and leaves the data") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::udp}) {
    const both_ends e = make(k);
    char data[64];
    {
      flow reader(name_of(k), [&](log& r) {
        const long n = COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_PEEK));
        r.say("peeked %s", text(data, n).c_str());
      });
      settle();
      o.say("%s: the reader %s", name_of(k), reader.state());
      write_all(e.b, "hello");
    }
    COIR_OBSERVE(o, recv(e.a, data, 2, MSG_PEEK));
    long n = COIR_OBSERVE(o, recv(e.a, data, sizeof data, MSG_PEEK));
    o.say("again %s", text(data, n).c_str());
    n = COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
    o.say("took %s", text(data, n).c_str());
    COIR_OBSERVE(o, recv(e.a, data, sizeof data, MSG_PEEK | MSG_DONTWAIT));
  }
}

COIR_ROW("MSG_PEEK: after a short read that emptied the stream it waits again") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[64];
    write_all(e.b, "first");
    COIR_OBSERVE(o, recv(e.a, data, sizeof data, 0));
    flow reader(name_of(k), [&](log& r) {
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_PEEK));
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
    });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "second");
  }
}

COIR_ROW("MSG_PEEK with MSG_WAITALL: waits until all of it can be peeked") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[64];
    flow reader(name_of(k), [&](log& r) {
      long n = COIR_OBSERVE(r, recv(e.a, data, 9, MSG_PEEK | MSG_WAITALL));
      r.say("peeked %s", text(data, n).c_str());
      n = COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
      r.say("took %s", text(data, n).c_str());
    });
    settle();
    drip(e.b, {"one", "two"});
    o.say("%s: the reader %s", name_of(k), reader.state());
    drip(e.b, {"three"});
  }
}

COIR_ROW("MSG_WAITALL: returns all however it comes, by every call") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[64];
    const auto once = [&](const char* what, auto call) {
      flow reader(std::string(name_of(k)) + " " + what, [&](log& r) {
        errno = untouched;
        const long n = call();
        r.result(what, n, errno);
        r.say("%s", text(data, n).c_str());
      });
      settle();
      drip(e.b, {"one", "two"});
      o.say("%s %s: %s", name_of(k), what, reader.state());
      drip(e.b, {"three+"});
      reader.join();
      COIR_OBSERVE(o, recv(e.a, data, 1, 0));
    };
    once("recv", [&] { return recv(e.a, data, 11, MSG_WAITALL); });
    once("recvfrom", [&] {
      sockaddr_storage from;
      socklen_t size = sizeof from;
      return recvfrom(e.a, data, 11, MSG_WAITALL, reinterpret_cast<sockaddr*>(&from), &size);
    });
    once("recvmsg", [&] {
      iovec v[3] = {{data, 2}, {data + 2, 0}, {data + 2, 9}};
      msghdr m = {};
      m.msg_iov = v;
      m.msg_iovlen = 3;
      return recvmsg(e.a, &m, MSG_WAITALL);
    });
    once("recvmmsg", [&] {
      iovec v = {data, 11};
      mmsghdr m = {};
      m.msg_hdr.msg_iov = &v;
      m.msg_hdr.msg_iovlen = 1;
      return recvmmsg(e.a, &m, 1, MSG_WAITALL, nullptr) == 1 ? static_cast<long>(m.msg_len) : -1;
    });
  }
}

COIR_ROW("MSG_WAITALL: many megabytes from a slow writer") {
  const std::string sent = pattern(3 << 20);
  for (const kind k : sockets) {
    const both_ends e = make(k);
    flow writer("writer", [&](log&) {
      for (std::size_t at = 0; at < sent.size(); at += 200'000) {
        write_all(e.b, sent.substr(at, 200'000));
        usleep(500);
      }
    });
    std::string got(sent.size(), '\0');
    COIR_OBSERVE(o, recv(e.a, got.data(), got.size(), MSG_WAITALL));
    o.check(got == sent, "the bytes are those that were sent");
  }
}

COIR_ROW("MSG_WAITALL: the end of the stream gives what came before it") {
  for (const kind k : sockets) {
    both_ends e = make(k);
    char data[64];
    {
      flow reader(name_of(k), [&](log& r) {
        COIR_OBSERVE(r, recv(e.a, data, 20, MSG_WAITALL));
        COIR_OBSERVE(r, recv(e.a, data, 20, MSG_WAITALL));
      });
      settle();
      drip(e.b, {"one"});
      o.say("%s: the reader %s", name_of(k), reader.state());
      e.b.close();
    }
  }
}

COIR_ROW("MSG_WAITALL: the receive timeout gives what came before it, counted from the call") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_timeout(e.a, SO_RCVTIMEO, 100'000);
    char data[64];
    flow writer("writer", [&](log&) {
      for (int i = 0; i < 8; ++i) {  // each piece well within the limit, all of them not
        usleep(25'000);
        write_all(e.b, "x");
      }
    });
    const stopwatch since;
    const long n = recv(e.a, data, 20, MSG_WAITALL);
    o.took(since, 100);
    o.say("%s: %s", name_of(k), n > 6 ? "too many" : n > 0 ? "those of the first 100 ms" : "none");
    writer.join();
    o.check(recv(e.a, data, 20, MSG_DONTWAIT) + n == 8, "the rest comes later");
    COIR_OBSERVE(o, recv(e.a, data, 20, MSG_WAITALL));
  }
}

COIR_ROW("MSG_WAITALL: a datagram is returned as it is") {
  for (const kind k : datagrams) {
    const both_ends e = make(k);
    char data[64];
    flow reader(name_of(k), [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, 20, MSG_WAITALL)); });
    settle();
    write_all(e.b, "short");
  }
}

COIR_ROW("SO_RCVLOWAT: a blocking read waits for that many bytes") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    const int least = 6;
    COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least));
    char data[64];
    flow reader(name_of(k), [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0)); });
    settle();
    drip(e.b, {"one"});
    o.say("%s: the reader %s", name_of(k), reader.state());
    drip(e.b, {"two"});
  }
}

COIR_ROW("SO_RCVLOWAT: after a short read, what is there is returned to who has room for no more") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    const int least = 6;
    COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least));
    char data[64];
    flow reader(name_of(k), [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0)); });
    settle();
    drip(e.b, {"twelve bytes"});
    reader.join();
    drip(e.b, {"few"});
    set_timeout(e.a, SO_RCVTIMEO, 500'000);
    const stopwatch since;
    COIR_OBSERVE(o, recv(e.a, data, 3, 0));
    drip(e.b, {"few"});
    COIR_OBSERVE(o, read(e.a, data, 3));
    o.took_no_time(since);
  }
}

COIR_ROW("SO_RCVLOWAT and MSG_WAITALL: at the end of the stream a message is filled in") {
  for (const kind k : sockets)
    for (const bool all : {false, true}) {
      both_ends e = make(k);
      const int least = 6;
      if (!all) COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least));
      char data[64], control[64];
      sockaddr_storage name;
      iovec v = {data, sizeof data};
      flow reader(name_of(k), [&](log& r) {
        msghdr m = {&name, sizeof name, &v, 1, control, sizeof control, -1};
        COIR_OBSERVE(r, recvmsg(e.a, &m, all ? MSG_WAITALL : 0));
        r.say("a name of %u, control of %zu, flags %x", m.msg_namelen, m.msg_controllen, m.msg_flags);
      });
      settle();
      e.b.close();
    }
}

COIR_ROW("SO_RCVLOWAT: recvmmsg takes an error that came before, and no messages") {
  both_ends e = make(kind::tcp);
  const int least = 6;
  COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least));
  COIR_MUST(shutdown(e.b, SHUT_WR));  // recvmsg would say that only
  settle();
  reset(e.b);
  settle();
  char data[64];
  iovec v = {data, sizeof data};
  mmsghdr mm[2] = {};
  for (mmsghdr& m : mm) m.msg_hdr.msg_iov = &v, m.msg_hdr.msg_iovlen = 1;
  COIR_OBSERVE(o, recvmmsg(e.a, mm, 2, 0, nullptr));
  COIR_OBSERVE(o, recvmmsg(e.a, mm, 2, 0, nullptr));
}

COIR_ROW("recv: one for no byte at all waits once, and takes no error") {
  for (const kind k : {kind::tcp, kind::unix_stream})
    for (const bool limited : {true, false}) {
      both_ends e = make(k);
      if (limited) set_timeout(e.a, SO_RCVTIMEO, 50'000);
      flow reader(name_of(k), [&](log& r) {
        char data[1];
        iovec v = {data, 0};
        msghdr m = {};
        m.msg_iov = &v;
        m.msg_iovlen = 1;
        COIR_OBSERVE(r, recv(e.a, data, 0, 0));
        if (limited) COIR_OBSERVE(r, recvmsg(e.a, &m, 0));
      });
      if (limited) {
        reader.join();
      } else {
        settle();
        if (k == kind::tcp)
          reset(e.b);
        else
          write_all(e.b, "x");
        reader.join();
      }
      COIR_OBSERVE(o, send(e.a, "x", 1, MSG_NOSIGNAL));
    }
}

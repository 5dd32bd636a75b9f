// recv and its family, for streams and datagrams, where the reader has to wait.
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"
#include "control_message.hpp"

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

COIR_ROW("recv: every kind of read waits for data and returns what there is") {
  for (const kind k :
       {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::unix_packets, kind::udp, kind::pipe}) {
    const both_ends e = make(k);
    char data[64];
    const auto once = [&](const char* what, auto call) {
      flow reader(std::string(name_of(k)) + " " + what, [&](log& r) {
        const stopwatch since;
        errno = untouched;
        const long n = call();
        r.result(what, n, errno);
        r.say("%s", text(data, n).c_str());
      });
      settle();
      o.say("%s %s: %s", name_of(k), what, reader.state());
      write_all(e.b, "hello");
    };
    once("read", [&] { return read(e.a, data, sizeof data); });
    once("readv", [&] {
      iovec v[2] = {{data, 2}, {data + 2, 60}};
      return readv(e.a, v, 2);
    });
    if (k == kind::pipe) continue;
    once("recv", [&] { return recv(e.a, data, sizeof data, 0); });
    once("recvfrom", [&] {
      sockaddr_storage from;
      socklen_t size = sizeof from;
      return recvfrom(e.a, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size);
    });
    once("recvmsg", [&] {
      iovec v[2] = {{data, 2}, {data + 2, 60}};
      msghdr m = {};
      m.msg_iov = v;
      m.msg_iovlen = 2;
      return recvmsg(e.a, &m, 0);
    });
    once("recvmmsg", [&] {
      iovec v = {data, 64};
      mmsghdr m = {};
      m.msg_hdr.msg_iov = &v;
      m.msg_hdr.msg_iovlen = 1;
      return recvmmsg(e.a, &m, 1, 0, nullptr) == 1 ? static_cast<long>(m.msg_len) : -1;
    });
  }
}

COIR_ROW("datagrams: those of zero length arrive, by read, recv, recvmsg and recvfrom") {
  for (const kind k : {kind::unix_datagram, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    char data[8];
    for (int i = 0; i < 4; ++i) {
      flow reader("reader", [&](log& r) {
        sockaddr_storage from;
        socklen_t size = sizeof from;
        iovec v = {data, sizeof data};
        msghdr m = {};
        m.msg_iov = &v;
        m.msg_iovlen = 1;
        if (i == 0) COIR_OBSERVE(r, read(e.a, data, sizeof data));
        if (i == 1) COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
        if (i == 2) COIR_OBSERVE(r, recvmsg(e.a, &m, 0));
        if (i == 3)
          COIR_OBSERVE(r, recvfrom(e.a, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size));
      });
      settle();
      o.say("the reader %s", reader.state());
      if (i % 2 == 0)
        COIR_OBSERVE(o, send(e.b, "", 0, 0));
      else
        COIR_OBSERVE(o, write(e.b, "", 0));
    }
  }
}

COIR_ROW("datagrams: too long ones are cut, MSG_TRUNC tells of it") {
  for (const kind k : datagrams) {
    const both_ends e = make(k);
    char data[8];
    const auto send_later = [&](auto call) {
      flow reader(name_of(k), call);
      settle();
      write_all(e.b, "0123456789");
    };
    send_later([&](log& r) { COIR_OBSERVE(r, recv(e.a, data, 4, 0)); });
    send_later([&](log& r) { COIR_OBSERVE(r, recv(e.a, data, 4, MSG_TRUNC)); });
    send_later([&](log& r) { COIR_OBSERVE(r, read(e.a, data, 4)); });
    send_later([&](log& r) {
      iovec v = {data, 4};
      msghdr m = {};
      m.msg_iov = &v;
      m.msg_iovlen = 1;
      COIR_OBSERVE(r, recvmsg(e.a, &m, 0));
      r.say("truncated: %s", (m.msg_flags & MSG_TRUNC) != 0 ? "yes" : "no");
    });
    COIR_OBSERVE(o, recv(e.a, data, 4, MSG_DONTWAIT));
  }
}

COIR_ROW("datagrams: recvfrom and recvmsg tell the sender's address, also after a wait") {
  const scratch_path path("receiver"), sender_path("sender");
  socklen_t size, sender_size;
  const sockaddr_storage address = path.unix_address(size),
                         sender_address = sender_path.unix_address(sender_size);
  const descriptor receiver(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0))),
      sender(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  COIR_MUST(bind(receiver, reinterpret_cast<const sockaddr*>(&address), size));
  COIR_MUST(bind(sender, reinterpret_cast<const sockaddr*>(&sender_address), sender_size));
  char data[16];
  for (int i = 0; i < 3; ++i) {
    flow reader("reader", [&](log& r) {
      sockaddr_storage from = {};
      socklen_t from_size = sizeof from;
      iovec v = {data, sizeof data};
      msghdr m = {};
      m.msg_iov = &v;
      m.msg_iovlen = 1;
      m.msg_name = &from;
      m.msg_namelen = from_size;
      mmsghdr mm = {m, 0};
      if (i == 0)
        COIR_OBSERVE(
            r, recvfrom(receiver, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &from_size));
      if (i == 1) COIR_OBSERVE(r, recvmsg(receiver, &m, 0)), from_size = m.msg_namelen;
      if (i == 2) COIR_OBSERVE(r, recvmmsg(receiver, &mm, 1, 0, nullptr)), from_size = mm.msg_hdr.msg_namelen;
      r.say("family %d, the sender's address: %s", from.ss_family,
            memcmp(&from, &sender_address, from_size) == 0 && from_size > 10 ? "yes" : "no");
    });
    settle();
    COIR_OBSERVE(o, sendto(sender, "hello", 5, 0, reinterpret_cast<const sockaddr*>(&address), size));
  }
}

COIR_ROW("datagrams: an ICMP error reaches a waiting recv") {
  both_ends e = make(kind::udp);
  e.a.close();
  char data[8];
  flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.b, data, sizeof data, 0)); });
  settle();
  COIR_OBSERVE(o, send(e.b, "x", 1, 0));
  reader.join();
}

COIR_ROW("recv: zero bytes") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::pipe}) {
    const both_ends e = make(k);
    char data[8];
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, read(e.a, data, 0));
    iovec v = {data, 0};
    COIR_OBSERVE(o, readv(e.a, &v, 1));
    COIR_OBSERVE(o, readv(e.a, &v, 0));
    if (k == kind::pipe) continue;
    COIR_OBSERVE(o, recv(e.a, data, 0, MSG_DONTWAIT));
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, 0, 0)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "data");
    reader.join();
    COIR_OBSERVE(o, recv(e.a, data, sizeof data, MSG_DONTWAIT));
  }
}

COIR_ROW("recv: MSG_TRUNC on TCP throws data away and counts it") {
  const both_ends e = make(kind::tcp);
  char data[8] = "-------";
  flow reader("reader", [&](log& r) {
    COIR_OBSERVE(r, recv(e.a, nullptr, 4, MSG_TRUNC));
    const long n = COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
    r.say("%s", text(data, n).c_str());
  });
  settle();
  write_all(e.b, "012345");
}

COIR_ROW("recvmmsg: takes what is there, with MSG_WAITFORONE too, and waits for the rest without it") {
  for (const kind k : {kind::unix_datagram, kind::udp}) {
    const both_ends e = make(k);
    char data[4][16];
    iovec v[4];
    mmsghdr mm[4] = {};
    for (int i = 0; i < 4; ++i) {
      v[i] = {data[i], 16};
      mm[i].msg_hdr.msg_iov = &v[i];
      mm[i].msg_hdr.msg_iovlen = 1;
    }
    {
      flow reader(std::string(name_of(k)) + " for one", [&](log& r) {
        COIR_OBSERVE(r, recvmmsg(e.a, mm, 4, MSG_WAITFORONE, nullptr));
        r.say("%s", text(data[0], mm[0].msg_len).c_str());
      });
      settle();
      o.say("%s: the reader %s", name_of(k), reader.state());
      write_all(e.b, "a");
    }
    {
      flow reader(std::string(name_of(k)) + " for all", [&](log& r) {
        COIR_OBSERVE(r, recvmmsg(e.a, mm, 4, 0, nullptr));
        r.say("%s %s %s %s", text(data[0], mm[0].msg_len).c_str(), text(data[1], mm[1].msg_len).c_str(),
              text(data[2], mm[2].msg_len).c_str(), text(data[3], mm[3].msg_len).c_str());
      });
      settle();
      drip(e.b, {"one", "two", "three"});
      o.say("%s: the reader %s", name_of(k), reader.state());
      drip(e.b, {"four"});
    }
    write_all(e.b, "x");
    write_all(e.b, "yy");
    COIR_OBSERVE(o, recvmmsg(e.a, mm, 4, MSG_DONTWAIT, nullptr));
    o.say("lengths %u %u", mm[0].msg_len, mm[1].msg_len);
    COIR_OBSERVE(o, recvmmsg(e.a, mm, 0, 0, nullptr));
  }
}

COIR_ROW("recvmmsg: its timeout is looked at after each datagram") {
  const both_ends e = make(kind::unix_datagram);
  char data[3][8];
  iovec v[3];
  mmsghdr mm[3] = {};
  for (int i = 0; i < 3; ++i) {
    v[i] = {data[i], 8};
    mm[i].msg_hdr.msg_iov = &v[i];
    mm[i].msg_hdr.msg_iovlen = 1;
  }
  const stopwatch since;
  flow writer("writer", [&](log&) {
    for (int i = 0; i < 3; ++i) {
      usleep(60'000);
      write_all(e.b, "x");
    }
  });
  timespec limit = {0, 90'000'000};
  COIR_OBSERVE(o, recvmmsg(e.a, mm, 3, 0, &limit));
  o.took(since, 120);
  o.say("left %ld s %ld ns", static_cast<long>(limit.tv_sec), limit.tv_nsec);
  writer.join();
  limit = {1, 0};
  const stopwatch again;
  COIR_OBSERVE(o, recvmmsg(e.a, mm, 1, 0, &limit));
  o.left(again, 1000, static_cast<double>(limit.tv_sec) * 1e3 + static_cast<double>(limit.tv_nsec) / 1e6);
  limit = {0, 1'000'000'000};
  COIR_OBSERVE(o, recvmmsg(e.a, mm, 1, MSG_DONTWAIT, &limit));
  limit = {-1, 0};
  COIR_OBSERVE(o, recvmmsg(e.a, mm, 1, MSG_DONTWAIT, &limit));
}

COIR_ROW("sendmmsg: sends datagrams one by one and tells how many") {
  const both_ends e = make(kind::unix_datagram);
  std::string large = pattern(1 << 20);
  iovec v[3] = {{large.data(), 5}, {large.data(), 3}, {large.data(), large.size()}};
  mmsghdr mm[3] = {};
  for (int i = 0; i < 3; ++i) {
    mm[i].msg_hdr.msg_iov = &v[i];
    mm[i].msg_hdr.msg_iovlen = 1;
  }
  COIR_OBSERVE(o, sendmmsg(e.b, mm, 3, 0));
  o.say("lengths %u %u", mm[0].msg_len, mm[1].msg_len);
  COIR_OBSERVE(o, sendmmsg(e.b, mm + 2, 1, 0));
  COIR_OBSERVE(o, sendmmsg(e.b, mm, 0, 0));
  char data[8];
  COIR_OBSERVE(o, recv(e.a, data, 8, 0));
  COIR_OBSERVE(o, recv(e.a, data, 8, 0));
}

COIR_ROW("recv: a full unix packet socket keeps record boundaries") {
  const both_ends e = make(kind::unix_packets);
  char data[16];
  flow reader("reader", [&](log& r) {
    for (int i = 0; i < 3; ++i) {
      const long n = COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
      r.say("%s", text(data, n).c_str());
    }
  });
  settle();
  write_all(e.b, "one");
  write_all(e.b, "two");
  settle();
  write_all(e.b, "three");
}

COIR_ROW("recv and read: room for 4 GiB is room") {
  // Only the beginning of it is ever touched.
  const std::size_t size = std::size_t{1} << 32;
  void* const room = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED || mprotect(room, 4096, PROT_READ | PROT_WRITE) != 0) return o.say("no room");
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::udp}) {
    const both_ends e = make(k);
    for (int i = 0; i < 3; ++i) {
      if (k == kind::pipe && i > 0) continue;
      flow reader(name_of(k), [&](log& r) {
        iovec v = {room, size};
        msghdr m = {};
        m.msg_iov = &v;
        m.msg_iovlen = 1;
        if (i == 0) COIR_OBSERVE(r, read(e.a, room, size));
        if (i == 1) COIR_OBSERVE(r, recv(e.a, room, size, 0));
        if (i == 2) COIR_OBSERVE(r, recvmsg(e.a, &m, 0));
      });
      settle();
      o.say("%s: the reader %s", name_of(k), reader.state());
      write_all(e.b, "hello");
    }
  }
  munmap(room, size);
}

COIR_ROW("recvmmsg: without room it waits once on TCP, and an end that comes is a message") {
  both_ends e = make(kind::tcp);
  flow reader("reader", [&](log& r) {
    char none;
    iovec v = {&none, 0};
    mmsghdr m[2] = {};
    for (mmsghdr& one : m) one.msg_hdr.msg_iov = &v, one.msg_hdr.msg_iovlen = 1;
    COIR_OBSERVE(r, recvmmsg(e.a, m, 2, MSG_WAITFORONE, nullptr));
  });
  settle();
  o.say("the reader %s", reader.state());
  const linger hard = {1, 0};
  COIR_MUST(setsockopt(e.b, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
  e.b.close();
}

COIR_ROW("MSG_WAITALL: descriptors that come with a byte end it, also where there is no room for them") {
  const both_ends e = make(kind::unix_stream);
  control_message with_one;
  const int passed = e.a;
  with_one.v.iov_len = 1;
  with_one.carry(&passed, 1);
  COIR_OBSERVE(o, sendmsg(e.b, &with_one.m, 0));
  char got[16];
  COIR_OBSERVE(o, recv(e.a, got, sizeof got, MSG_WAITALL));
  // Credentials do not.
  const int on = 1;
  COIR_MUST(setsockopt(e.a, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  flow reader("reader", [&](log& r) { COIR_OBSERVE(r, recv(e.a, got, 4, MSG_WAITALL)); });
  for (int i = 0; i < 4; ++i) {
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "y");
  }
}

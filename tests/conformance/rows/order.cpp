// Who of several that wait for the same descriptor comes first: who waited first.
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

template <class F>
void each_call(F&& f) {
  f("read", [](int fd, char* to, std::size_t n) { return static_cast<long>(read(fd, to, n)); });
  f("recv", [](int fd, char* to, std::size_t n) { return static_cast<long>(recv(fd, to, n, 0)); });
  f("readv", [](int fd, char* to, std::size_t n) {
    const iovec v[2] = {{to, n / 2}, {to + n / 2, n - n / 2}};
    return static_cast<long>(readv(fd, v, 2));
  });
}

}  // namespace

COIR_ROW_WITH(one_thread, "order: of several that wait for something to read the first gets it") {
  for (const kind k : {kind::unix_datagram, kind::unix_packets, kind::udp, kind::pipe})
    each_call([&](const char* what, auto call) {
      if (k == kind::pipe && std::string(what) == "recv") return;
      const both_ends e = make(k);
      std::vector<std::unique_ptr<flow>> flows;
      for (int i = 0; i < 4; ++i) {
        flows.push_back(std::make_unique<flow>("reader " + std::to_string(i), [&](log& r) {
          char got[16] = {};
          const long n = call(e.a, got, sizeof got - 1);
          r.say("%s %s: %ld %s", name_of(k), what, n, got);
        }));
        settle();
      }
      for (const char* one : {"first", "second", "third", "fourth"}) {
        write_all(e.b, one);
        settle();
      }
    });
}

COIR_ROW_WITH(one_thread, "order: who came later goes on when the first was interrupted, or has had enough") {
  const both_ends e = make(kind::udp);
  set_timeout(e.a, SO_RCVTIMEO, 60);
  flow first("first", [&](log& r) {
    char got[16];
    COIR_OBSERVE(r, recv(e.a, got, sizeof got, 0));
  });
  settle();
  set_timeout(e.a, SO_RCVTIMEO, 0);
  const auto follower = [&](log& r) {
    char got[16] = {};
    COIR_OBSERVE(r, recv(e.a, got, sizeof got, 0));
    r.say("%s", got);
  };
  flow second("second", follower);
  settle();
  flow third("third", follower);
  first.join();
  settle();
  write_all(e.b, "one");
  settle();
  write_all(e.b, "two");
}

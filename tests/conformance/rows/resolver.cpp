// Questions to libc's resolver, answered by a name server on the loopback interface.
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

// The names by which programs know the calls that were built with an older libc.
#if defined(__x86_64__)
#define COIR_OLDER(name, original) __asm__(".symver " #name ", " #original "@GLIBC_2.2.5")
#else
#define COIR_OLDER(name, original) __asm__(".symver " #name ", " #original "@GLIBC_2.17")
#endif
extern "C" {
int older_query(const char*, int, int, unsigned char*, int);
int older_search(const char*, int, int, unsigned char*, int);
int older_querydomain(const char*, const char*, int, int, unsigned char*, int);
int older_nsend(res_state, const unsigned char*, int, unsigned char*, int);
}
COIR_OLDER(older_query, __res_query);
COIR_OLDER(older_search, __res_search);
COIR_OLDER(older_querydomain, __res_querydomain);
COIR_OLDER(older_nsend, __res_nsend);

namespace {

using message = std::vector<unsigned char>;
constexpr int answer_size = 512;

struct name_server {
  struct question {
    message text;
    sockaddr_in from;
  };
  descriptor socket;
  sockaddr_in address = {};

  name_server() : socket(COIR_MUST(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    COIR_MUST(bind(socket, where(), size));
    COIR_MUST(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size));
  }

  const sockaddr* where() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }

  question take() const {
    question q = {message(answer_size), {}};
    socklen_t size = sizeof q.from;
    q.text.resize(static_cast<std::size_t>(COIR_MUST(
        recvfrom(socket, q.text.data(), q.text.size(), 0, reinterpret_cast<sockaddr*>(&q.from), &size))));
    return q;
  }
  // With the address 127.0.0.N, where N is the first letter of the name; no such name, if that is an x.
  void answer(const question& q) const {
    message a = q.text;
    const unsigned char letter = a[13];
    a[2] |= 0x80;
    a[3] = letter == 'x' ? 3 : 0;
    if (letter != 'x') {
      a[7] = 1;
      a.insert(a.end(), {0xc0, 12, 0, ns_t_a, 0, ns_c_in, 0, 0, 0, 60, 0, 4, 127, 0, 0, letter});
    }
    COIR_MUST(
        sendto(socket, a.data(), a.size(), 0, reinterpret_cast<const sockaddr*>(&q.from), sizeof q.from));
  }
};

// What is asked by `state` from now on is asked there only.
void use(res_state state, const name_server& server) {
  COIR_MUST(res_ninit(state));
  state->options = RES_INIT | RES_RECURSE;
  state->nscount = 1;
  state->nsaddr_list[0] = server.address;
  state->retrans = 2;
  state->retry = 1;
}

// Of an answer: its last byte.
template <class Ask>
void ask(log& o, const char* what, Ask call) {
  unsigned char text[answer_size] = {};
  errno = untouched;
  const int n = call(text);
  if (n > 0)
    o.say("%s: %c", what, text[n - 1]);
  else
    o.say("%s: %d, %s", what, n, hstrerror(h_errno));
}

}  // namespace

COIR_ROW("resolver: every call waits for its answer, and nobody else does") {
  const name_server server;
  flow answers("server", [&](log&) {
    for (name_server::question q; !(q = server.take()).text.empty(); server.answer(q)) nap(10);
  });
  use(&_res, server);
  struct __res_state own = {};
  use(&own, server);
  constexpr int in = ns_c_in, a = ns_t_a, size = answer_size;
  unsigned char query[answer_size];
  const int query_size = res_mkquery(ns_o_query, "q.test", in, a, nullptr, 0, nullptr, query, sizeof query);
  ask(o, "res_query", [&](auto* t) { return res_query("a.test", in, a, t, size); });
  ask(o, "res_search", [&](auto* t) { return res_search("b.test.", in, a, t, size); });
  ask(o, "res_querydomain", [&](auto* t) { return res_querydomain("c", "test", in, a, t, size); });
  ask(o, "res_send", [&](auto* t) { return res_send(query, query_size, t, size); });
  ask(o, "res_nquery", [&](auto* t) { return res_nquery(&own, "d.test", in, a, t, size); });
  ask(o, "res_nsearch", [&](auto* t) { return res_nsearch(&own, "e.test.", in, a, t, size); });
  ask(o, "res_nquerydomain", [&](auto* t) { return res_nquerydomain(&own, "f", "test", in, a, t, size); });
  ask(o, "res_nsend", [&](auto* t) { return res_nsend(&own, query, query_size, t, size); });
  ask(o, "no such name", [&](auto* t) {
    const int n = res_query("x.test", in, a, t, size);
    o.say("the answer says %d", t[3] & 15);
    return n;
  });
  o.say("and the state says %s", hstrerror(_res.res_h_errno));
  ask(o, "no such name", [&](auto* t) { return res_nquery(&own, "x.test", in, a, t, size); });
  o.say("and the state says %s", hstrerror(own.res_h_errno));
  ask(o, "a name that is none", [&](auto* t) { return res_query("a..test", in, a, t, size); });
  ask(o, "a small buffer", [&](auto* t) { return res_query("g.test", in, a, t, 4); });
  ask(o, "res_query", [&](auto* t) { return res_query("h.test", in, a, t, size); });
  ask(o, "__res_query", [&](auto* t) { return older_query("i.test", in, a, t, size); });
  ask(o, "__res_search", [&](auto* t) { return older_search("j.test.", in, a, t, size); });
  ask(o, "__res_querydomain", [&](auto* t) { return older_querydomain("k", "test", in, a, t, size); });
  ask(o, "__res_nsend", [&](auto* t) { return older_nsend(&own, query, query_size, t, size); });
  res_nclose(&own);
  COIR_OBSERVE(o, sendto(server.socket, nullptr, 0, 0, server.where(), sizeof server.address));
}

COIR_ROW("resolver: several flows ask at once, each gets its own answer") {
  const name_server server;
  flow answers("server", [&](log&) {
    std::vector<name_server::question> all;
    while (all.size() < 5) all.push_back(server.take());
    nap(20);
    for (const name_server::question& q : all) server.answer(q);
  });
  std::vector<std::unique_ptr<flow>> flows;
  for (const char* name : {"a.test", "b.test", "c.test", "d.test", "e.test"})
    flows.push_back(std::make_unique<flow>(name, [&, name](log& f) {
      use(&_res, server);
      ask(f, name, [&](auto* t) { return res_query(name, ns_c_in, ns_t_a, t, answer_size); });
    }));
}

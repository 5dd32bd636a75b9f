// The user's own epoll sets, waited on by epoll_wait and its forms.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

descriptor poller_of(std::initializer_list<std::pair<int, std::uint32_t>> watched) {
  descriptor result(COIR_MUST(epoll_create1(EPOLL_CLOEXEC)));
  std::uint32_t number = 0;
  for (const auto& [fd, events] : watched) {
    epoll_event e = {};
    e.events = events;
    e.data.u32 = number++;
    COIR_MUST(epoll_ctl(result, EPOLL_CTL_ADD, fd, &e));
  }
  return result;
}

long wait_and_say(log& o, int poller, int timeout_ms, int room = 8) {
  epoll_event found[8];
  const long n = COIR_OBSERVE(o, epoll_wait(poller, found, room, timeout_ms));
  for (long i = 0; i < n; ++i) o.say("number %u, events %x", found[i].data.u32, found[i].events);
  return n;
}

}  // namespace

COIR_ROW("epoll: waits for the user's descriptors and collects their events") {
  for (const kind k : streams) {
    const both_ends e = make(k), other = make(k);
    const descriptor poller = poller_of({{e.a, EPOLLIN}, {other.a, EPOLLIN}});
    flow waiter(name_of(k), [&](log& w) {
      wait_and_say(w, poller, -1);
      wait_and_say(w, poller, 0);
      wait_and_say(w, poller, 20);
    });
    settle();
    o.say("%s: the waiter %s", name_of(k), waiter.state());
    write_all(other.b, "x");
  }
}

COIR_ROW("epoll: timeouts pass, not early; zero does not wait; negative is forever") {
  const both_ends e = make(kind::unix_stream);
  const descriptor poller = poller_of({{e.a, EPOLLIN}});
  stopwatch since;
  wait_and_say(o, poller, 50);
  o.took(since, 50), since.restart();
  wait_and_say(o, poller, 0);
  o.took_no_time(since);
  epoll_event found;
  timespec t = {0, 10'700'000};
  since.restart();
  COIR_OBSERVE(o, epoll_pwait2(poller, &found, 1, &t, nullptr));
  o.took(since, 10.7), since.restart();
  COIR_OBSERVE(o, epoll_pwait(poller, &found, 1, 20, nullptr));
  o.took(since, 20);
  flow waiter("waiter", [&](log& w) {
    wait_and_say(w, poller, -7);
    COIR_OBSERVE(w, epoll_pwait2(poller, &found, 1, nullptr, nullptr));
    COIR_OBSERVE(w, epoll_pwait(poller, &found, 1, -1, nullptr));
  });
  settle();
  o.say("the waiter %s", waiter.state());
  write_all(e.b, "x");
}

COIR_ROW("epoll: wrong arguments") {
  const both_ends e = make(kind::unix_stream);
  const descriptor poller = poller_of({{e.a, EPOLLIN}});
  epoll_event found;
  const stopwatch since;
  COIR_OBSERVE(o, epoll_wait(poller, &found, 0, -1));
  volatile int negative = -1;
  COIR_OBSERVE(o, epoll_wait(poller, &found, negative, -1));
  COIR_OBSERVE(o, epoll_wait(e.a, &found, 1, -1));
  COIR_OBSERVE(o, epoll_wait(closed_number(), &found, 1, -1));
  COIR_OBSERVE(o, epoll_wait(-1, &found, 1, -1));
  const timespec t = {0, -1};
  COIR_OBSERVE(o, epoll_pwait2(poller, &found, 1, &t, nullptr));
  write_all(e.b, "x");
  COIR_OBSERVE(o, epoll_wait(poller, bad_pointer<epoll_event>(0), 1, -1));
  o.took_no_time(since);
}

COIR_ROW("epoll: edge-triggered and one-shot events come once") {
  const both_ends e = make(kind::unix_stream), other = make(kind::unix_stream);
  const descriptor poller = poller_of({{e.a, EPOLLIN | EPOLLET}, {other.a, EPOLLIN | EPOLLONESHOT}});
  write_all(e.b, "x");
  wait_and_say(o, poller, 200);
  wait_and_say(o, poller, 20);
  write_all(e.b, "y");
  wait_and_say(o, poller, 200);
  write_all(other.b, "x");
  wait_and_say(o, poller, 200);
  write_all(other.b, "y");
  wait_and_say(o, poller, 20);
  epoll_event again = {};
  again.events = EPOLLIN | EPOLLONESHOT;
  again.data.u32 = 7;
  COIR_OBSERVE(o, epoll_ctl(poller, EPOLL_CTL_MOD, other.a, &again));
  wait_and_say(o, poller, 200);
}

COIR_ROW("epoll: level-triggered events come until the data is read") {
  const both_ends e = make(kind::tcp);
  const descriptor poller = poller_of({{e.a, EPOLLIN | EPOLLRDHUP}});
  write_all(e.b, "xy");
  wait_and_say(o, poller, 200);
  read_all(e.a, 1);
  wait_and_say(o, poller, 200);
  read_all(e.a, 1);
  wait_and_say(o, poller, 20);
  shutdown(e.b, SHUT_WR);
  wait_and_say(o, poller, 200);
}

COIR_ROW("epoll: a set within a set within a set") {
  const both_ends e = make(kind::unix_stream);
  const descriptor inner = poller_of({{e.a, EPOLLIN}});
  const descriptor middle = poller_of({{inner, EPOLLIN}});
  const descriptor outer = poller_of({{middle, EPOLLIN}});
  flow waiter("waiter", [&](log& w) {
    wait_and_say(w, outer, 900);
    wait_and_say(w, inner, 900);
  });
  flow poll_waiter("poll waiter", [&](log& w) {
    pollfd f = {outer, POLLIN, 0};
    COIR_OBSERVE(w, poll(&f, 1, 900));
  });
  settle();
  o.say("the waiters: %s, %s", waiter.state(), poll_waiter.state());
  write_all(e.b, "x");
}

COIR_ROW("epoll: sets nested as deep as the kernel allows") {
  const both_ends e = make(kind::unix_stream);
  std::vector<descriptor> sets;
  sets.push_back(poller_of({{e.a, EPOLLIN}}));
  for (int depth = 0; depth < 8; ++depth) {
    descriptor next(COIR_MUST(epoll_create1(EPOLL_CLOEXEC)));
    epoll_event event = {};
    event.events = EPOLLIN;
    if (epoll_ctl(next, EPOLL_CTL_ADD, sets.back(), &event) != 0) break;
    sets.push_back(std::move(next));
  }
  o.say("%zu sets", sets.size());
  std::atomic<bool> first_over{false};
  flow waiter("waiter", [&](log& w) {
    epoll_event found;
    const stopwatch since;
    COIR_OBSERVE(w, epoll_wait(sets.back(), &found, 1, 40));
    w.took(since, 40);
    first_over = true;
    COIR_OBSERVE(w, epoll_wait(sets.back(), &found, 1, 900));
  });
  while (!first_over) usleep(1000);
  settle();
  write_all(e.b, "x");
}

COIR_ROW("epoll: descriptors added and removed while a flow waits") {
  const both_ends e = make(kind::unix_stream), late = make(kind::unix_stream);
  const descriptor poller = poller_of({{e.a, EPOLLIN}});
  flow waiter("waiter", [&](log& w) { wait_and_say(w, poller, 900); });
  settle();
  COIR_OBSERVE(o, epoll_ctl(poller, EPOLL_CTL_DEL, e.a, nullptr));
  write_all(e.b, "x");
  settle();
  o.say("the waiter %s", waiter.state());
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u32 = 5;
  write_all(late.b, "x");
  COIR_OBSERVE(o, epoll_ctl(poller, EPOLL_CTL_ADD, late.a, &event));
}

COIR_ROW("epoll: two flows on one set; one event wakes one or both, none is lost") {
  const both_ends e = make(kind::unix_stream);
  const descriptor poller = poller_of({{e.a, EPOLLIN | EPOLLET}});
  std::atomic<int> events{0};
  const auto wait_it = [&](log&) {
    epoll_event found;
    if (epoll_wait(poller, &found, 1, 900) == 1) ++events;
  };
  flow first("first", wait_it), second("second", wait_it);
  settle();
  write_all(e.b, "x");
  settle();
  o.say("%d events", events.load());
  write_all(e.b, "y");
  first.join();
  second.join();
  o.say("%d events", events.load());
}

COIR_ROW("epoll: an event loop inside a flow serves clients that are flows") {
  const listener l(32);
  constexpr int clients = 6, rounds = 5;
  flow loop("loop", [&](log& w) {
    set_nonblocking(l.fd, true);
    const descriptor poller = poller_of({{l.fd, EPOLLIN}});
    std::vector<descriptor> connections;
    int ended = 0, echoes = 0;
    while (ended < clients) {
      epoll_event found[4];
      const int n = epoll_wait(poller, found, 4, 2000);
      if (n <= 0) break;
      for (int i = 0; i < n; ++i) {
        if (found[i].data.u32 == 0) {
          const int made = accept4(l.fd, nullptr, nullptr, SOCK_NONBLOCK);
          if (made < 0) continue;
          connections.emplace_back(made);
          epoll_event event = {};
          event.events = EPOLLIN;
          event.data.u32 = static_cast<std::uint32_t>(connections.size());
          COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, made, &event));
          continue;
        }
        descriptor& c = connections[found[i].data.u32 - 1];
        char data[64];
        const ssize_t got = read(c, data, sizeof data);
        if (got > 0 && write(c, data, static_cast<size_t>(got)) == got) ++echoes;
        if (got == 0) c.close(), ++ended;
      }
    }
    w.say("%d connections ended, %d echoes", ended, echoes);
  });
  std::vector<std::unique_ptr<flow>> flows;
  std::atomic<int> right{0};
  for (int i = 0; i < clients; ++i)
    flows.push_back(std::make_unique<flow>("client", [&, i](log& c) {
      const descriptor from = tcp_socket();
      if (!c.check(connect(from, l.where(), l.size) == 0, "connected")) return;
      for (int round = 0; round < rounds; ++round) {
        const std::string word = std::to_string(i * 100 + round);
        write_all(from, word);
        if (read_all(from, word.size()) == word) ++right;
      }
    }));
  flows.clear();
  o.say("%d right answers", right.load());
}

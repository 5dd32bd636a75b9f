// Many flows at once: nobody is kept from going on by those who wait.
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("crowd: a hundred readers go on while one waits") {
  constexpr int count = 100;
  for (const kind k : streams) {
    const both_ends idle = make(k);
    flow waiter("waiter", [&](log& w) {
      char data[8];
      COIR_OBSERVE(w, read(idle.a, data, sizeof data));
    });
    std::vector<both_ends> pairs;
    for (int i = 0; i < count; ++i) pairs.push_back(make(k));
    std::atomic<int> sum{0};
    {
      std::vector<std::unique_ptr<flow>> readers;
      for (int i = 0; i < count; ++i)
        readers.push_back(std::make_unique<flow>("reader", [&, i](log&) {
          char data[8];
          for (int round = 0; round < 5; ++round)
            if (const ssize_t n = read(pairs[static_cast<std::size_t>(i)].a, data, 1); n == 1) sum += data[0];
        }));
      settle();
      for (int round = 0; round < 5; ++round)
        for (int i = count - 1; i >= 0; --i) write_all(pairs[static_cast<std::size_t>(i)].b, "\1");
    }
    o.say("%s: %d pieces, the waiter %s", name_of(k), sum.load(), waiter.state());
    write_all(idle.b, "x");
  }
}

COIR_ROW("crowd: a server of one flow per connection, fifty clients") {
  constexpr int count = 50, rounds = 8;
  const listener l(128);
  std::atomic<int> right{0}, served{0};
  flow server("server", [&](log& s) {
    std::vector<std::unique_ptr<flow>> handlers;
    for (int i = 0; i < count; ++i) {
      const int to = accept(l.fd, nullptr, nullptr);
      if (!s.check(to >= 0, "accepted")) break;
      handlers.push_back(std::make_unique<flow>("handler", [&, to](log&) {
        const descriptor owner(to);
        char data[64];
        for (ssize_t n; (n = read(to, data, sizeof data)) > 0;)
          write_all(to, std::string(data, static_cast<std::size_t>(n)));
        ++served;
      }));
    }
  });
  {
    std::vector<std::unique_ptr<flow>> clients;
    for (int i = 0; i < count; ++i)
      clients.push_back(std::make_unique<flow>("client", [&, i](log& c) {
        const descriptor from = tcp_socket();
        if (!c.check(connect(from, l.where(), l.size) == 0, "connected")) return;
        for (int round = 0; round < rounds; ++round) {
          const std::string word = "client " + std::to_string(i) + " round " + std::to_string(round);
          write_all(from, word);
          if (read_all(from, word.size()) == word) ++right;
          usleep(500);
        }
      }));
  }
  server.join();
  o.say("%d served, %d right answers", served.load(), right.load());
}

COIR_ROW("crowd: a ring of pipes passes a token round") {
  constexpr std::size_t count = 40;
  constexpr int rounds = 20;
  std::vector<both_ends> pipes;
  for (std::size_t i = 0; i < count; ++i) pipes.push_back(make(kind::pipe));
  std::atomic<int> hops{0};
  {
    std::vector<std::unique_ptr<flow>> flows;
    for (std::size_t i = 0; i < count; ++i)
      flows.push_back(std::make_unique<flow>("passer", [&, i](log&) {
        char token;
        for (int round = 0; round < rounds; ++round) {
          if (read(pipes[i].a, &token, 1) != 1) return;
          ++hops;
          if (write(pipes[(i + 1) % count].b, &token, 1) != 1) return;
        }
      }));
    write_all(pipes[0].b, "t");
  }
  o.say("%d hops", hops.load());
}

COIR_ROW("crowd: writers of much data do not keep a sleeper from waking") {
  const both_ends e = make(kind::unix_stream);
  std::atomic<bool> stop{false};
  flow writer("writer", [&](log&) {
    const std::string block = pattern(65536);
    while (!stop) write_all(e.b, block);
    shutdown(e.b, SHUT_WR);
  });
  flow reader("reader", [&](log&) {
    std::vector<char> block(65536);  // keeps nothing: to move that would take as long as the sleeps
    while (read(e.a, block.data(), block.size()) > 0) {
    }
  });
  const stopwatch since;
  for (int i = 0; i < 20; ++i) usleep(2000);
  stop = true;
  o.took(since, 40);
  o.say("done");
}

COIR_ROW("crowd: pollers and eventfds of many flows") {
  constexpr std::size_t count = 60;
  std::vector<descriptor> events;
  for (std::size_t i = 0; i < count; ++i) events.emplace_back(COIR_MUST(eventfd(0, 0)));
  std::atomic<int> woken{0};
  {
    std::vector<std::unique_ptr<flow>> flows;
    for (std::size_t i = 0; i + 1 < count; ++i)
      flows.push_back(std::make_unique<flow>("poller", [&, i](log&) {
        pollfd f[2] = {{events[i], POLLIN, 0}, {-1, POLLIN, 0}};
        if (poll(f, 2, 5000) != 1) return;
        ++woken;
        eventfd_write(events[i + 1], 1);
      }));
    eventfd_write(events[0], 1);
  }
  o.say("%d woken in a chain", woken.load());
}

COIR_ROW("crowd: calls that fail at once do not keep others from running") {
  const both_ends e = make(kind::unix_stream), p = make(kind::pipe);
  set_nonblocking(p.a, true);
  char data[8];
  pollfd nothing = {e.a, POLLIN, 0};
  const auto beside = [&](const char* what, const std::function<void()>& call) {
    flow other("other", [](log&) {
      for (int i = 0; i < 10; ++i) nap(1);
    });
    for (const stopwatch since; !other.done() && since.milliseconds() < 900;)
      for (int i = 0; i < 100; ++i) call();
    o.say("beside %s the other %s", what, other.state());
  };
  beside("recv that would wait", [&] { recv(e.a, data, sizeof data, MSG_DONTWAIT); });
  beside("recv of nothing", [&] { recv(-1, data, sizeof data, 0); });
  beside("read that would wait", [&] { read(p.a, data, sizeof data) == 0 ? abort() : void(); });
  beside("write of nothing", [&] { write(-1, data, 1) == 1 ? abort() : void(); });
  beside("send into nothing", [&] { send(p.a, data, 1, MSG_NOSIGNAL); });
  beside("accept of no listener", [&] { accept(e.a, nullptr, nullptr); });
  beside("poll of nothing", [&] { poll(&nothing, 1, 0); });
  beside("a time that is none", [&] {
    const timespec wrong = {0, -1};
    nanosleep(&wrong, nullptr);
  });
  beside("no child", [&] { waitpid(-1, nullptr, 0); });
}

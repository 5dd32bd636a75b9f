// select between threads: cases that complement each other meet, and nothing is lost on the way.
#include <sys/socket.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <array>
#include <atomic>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "posix/close.hpp"
#include "support/everywhere.hpp"
#include "support/process.hpp"

using namespace unit;
using coir::after;
using coir::on_done;
using coir::on_pop;
using coir::on_push;
using coir::on_readable;
using coir::on_set;
using coir::on_writable;
using coir::select;
namespace this_fiber = coir::this_fiber;

namespace {

struct connection {
  int ends[2] = {-1, -1};
  connection() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); }
  ~connection() {
    for (const int fd : ends)
      if (fd >= 0) ::close(fd);
  }
};

}  // namespace

TEST_CASE("select: complementary cases of two threads always meet") {
  constexpr int rounds = 5000;
  const bool in_reactor = GENERATE(false, true);
  coir::channel<int> c, d;
  coir::event never;
  std::atomic<long> pushed{0}, popped{0};
  const auto push = [&](bool done) { pushed += done; };
  const auto pop = [&](std::optional<int> item) { popped += *item; };
  joined_threads other;
  other.start([&] {
    if (in_reactor) open_reactor();
    for (int i = 0; i < rounds; ++i) select(on_pop(c, pop), on_set(never), on_push(d, 1, push));
  });
  on_thread([&] {
    auto f = coir::spawn([&] {
      for (int i = 0; i < rounds; ++i) select(on_push(c, 1, push), on_pop(d, pop));
    });
    f.get();
  });
  other.join();
  CHECK(pushed == rounds);
  CHECK(popped == rounds);
}

TEST_CASE("select: any two of many that both push to and pop from one channel meet") {
  coir::channel<int> c;
  std::atomic<long> pushed{0}, popped{0};
  const int workers = everywhere([&](int) {
    for (int i = 0; i < 301; ++i)
      select(on_push(c, i, [&](bool done) { pushed += done ? i + 1 : 0; }),
             on_pop(c, [&](std::optional<int> item) { popped += *item + 1; }), after(2ms));
  });
  CHECK(workers % 2 == 0);
  CHECK(pushed == popped);
  CHECK(pushed > 0);
}

TEST_CASE("select: random pushes and pops of four threads lose and double nothing") {
  constexpr int things = 3;
  std::array<coir::channel<long>, things> channels;
  std::array<coir::queue<long>, things> queues = {coir::queue<long>(1), coir::queue<long>(2),
                                                  coir::queue<long>(10)};
  coir::priority_queue<long> priority(4);
  coir::event stop;
  std::atomic<long> in{0}, out{0}, cancelled{0};
  joined_threads threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.start([&, t] {
      if (t % 2 == 0) open_reactor();
      std::vector<coir::fiber<void>> fibers;
      for (unsigned i = 0; i < 6; ++i)
        fibers.push_back(coir::spawn([&, seed = t * 10 + i] {
          std::minstd_rand random(seed + 1);
          const auto any = [&] { return random() % things; };
          bool more = true;
          while (more) {
            const long item = static_cast<long>(random() % 1000);
            const auto put = [&](bool done) { in += done ? item : 0; };
            const auto get = [&](std::optional<long> got) { out += *got; };
            const auto end = [&] { more = false; };
            switch (random() % 5) {
              case 0:
                select(on_push(channels[any()], item, put), on_pop(channels[any()], get), on_set(stop, end));
                break;
              case 1:
                select(on_push(queues[any()], item, put), on_pop(channels[any()], get), on_set(stop, end));
                break;
              case 2:
                select(on_pop(queues[any()], get), on_push(channels[any()], item, put), on_pop(priority, get),
                       on_set(stop, end));
                break;
              case 3:
                select(on_pop(queues[any()], get), on_push(priority, item, put), on_pop(channels[any()], get),
                       on_set(stop, end), after(std::chrono::microseconds(random() % 50)));
                break;
              default:
                try {
                  const coir::timeout limit(std::chrono::microseconds(random() % 30));
                  select(on_pop(channels[any()], get), on_pop(queues[any()], get));
                } catch (const coir::timed_out&) {
                  ++cancelled;
                }
            }
          }
        }));
      coir::gather(fibers);
    });
  std::this_thread::sleep_for(500ms);  // not to synchronise: this is how long it goes on
  stop.set();
  threads.join();
  for (auto& q : queues)
    while (const auto item = q.try_pop()) out += *item;
  while (const auto item = priority.try_pop()) out += *item;
  CHECK(in == out);
  CHECK(in > 0);
  CHECK(cancelled > 0);
  for (auto& c : channels) {
    CHECK_FALSE(c.try_pop());
    CHECK_FALSE(c.try_push(0));
  }
}

TEST_CASE("select: cancelled from another thread at any moment, it swallows no item") {
  constexpr int rounds = 2000;
  coir::queue<int> q;
  coir::channel<coir::fiber<void>> running;
  std::atomic<int> taken{0};
  joined_threads others;
  others.start([&] {
    while (const auto f = running.pop()) f->cancel();
  });
  others.start([&] {
    for (int i = 0; i < rounds; ++i) {
      q.push(1);
      if (i % 16 == 0) std::this_thread::yield();
    }
  });
  on_thread([&] {
    coir::event never;
    for (int i = 0; i < rounds; ++i) {
      auto f = coir::spawn([&] { select(on_set(never), on_pop(q, [&](std::optional<int>) { ++taken; })); });
      running.push(f);
      f.join();
    }
    running.close();
  });
  others.join();
  CHECK(taken + static_cast<int>(q.size()) == rounds);
}

TEST_CASE("select: a fiber of another thread that ends is a case") {
  std::optional<coir::fiber<int>> far;
  coir::event spawned, go;
  joined_threads home;
  home.start([&] {
    far = coir::spawn([&] {
      go.wait();
      return 7;
    });
    spawned.set();
    far->join();
  });
  int got = 0;
  on_thread([&] {
    spawned.wait();
    CHECK(select(on_done(*far), after(1ms)) == 1);
    go.set();
    select(on_done(*far, [&](const coir::fiber<int>& f) { got = f.get(); }), after(patience));
  });
  home.join();
  CHECK(got == 7);
}

TEST_CASE("select: waits for descriptors and for fibers at the same time") {
  const connection c;
  on_thread([&] {
    coir::queue<int> q;
    auto writer = coir::spawn([&] {
      this_fiber::sleep_for(1ms);
      CHECK(::write(c.ends[1], "x", 1) == 1);
    });
    CHECK(select(on_pop(q), on_readable(c.ends[0]), after(patience)) == 1);
    char byte;
    CHECK(::read(c.ends[0], &byte, 1) == 1);
    CHECK(select(on_readable(c.ends[0]), on_writable(c.ends[0]), on_pop(q)) == 1);
    auto pusher = coir::spawn([&] {
      this_fiber::sleep_for(1ms);
      q.push(1);
    });
    CHECK(select(on_readable(c.ends[0]), on_pop(q), after(patience)) == 1);
    CHECK(select(on_readable(c.ends[0]), after(1ms)) == 1);
    coir::wait_all(writer, pusher);
    CHECK(::shutdown(c.ends[1], SHUT_WR) == 0);
    CHECK(select(on_readable(c.ends[0]), after(patience)) == 0);  // the end
  });
}

TEST_CASE("select: more descriptors than a few") {
  std::vector<connection> all(12);
  on_thread([&] {
    coir::selector s;
    std::string order;
    for (std::size_t i = 0; i < all.size(); ++i)
      s.add(on_readable(all[i].ends[0], [&, i] {
        char byte;
        CHECK(::read(all[i].ends[0], &byte, 1) == 1);
        order += static_cast<char>('a' + i);
      }));
    auto writer = coir::spawn([&] {
      for (std::size_t i = all.size(); i-- > 0;) {
        this_fiber::sleep_for(1ms);
        CHECK(::write(all[i].ends[1], "x", 1) == 1);
        const stopwatch time;
        while (order.size() < all.size() - i && time.elapsed() < patience) this_fiber::yield();
      }
    });
    for (std::size_t i = 0; i < all.size(); ++i) s.wait();
    CHECK(order == "lkjihgfedcba");
    writer.join();
  });
}

TEST_CASE("select: a descriptor that is closed meanwhile is an error that names it") {
  connection c;
  std::string text;
  on_thread([&] {
    const int fd = std::exchange(c.ends[0], -1);
    auto closer = coir::spawn([&] {
      this_fiber::sleep_for(1ms);
      coir::posix::close(fd);
    });
    coir::event never;
    text = thrown_text<std::system_error>([&] { select(on_set(never), on_readable(fd), after(patience)); });
    closer.join();
    CHECK(contains(text, "on_readable(fd=" + std::to_string(fd) + ")"));
  });
  INFO(text);
  CHECK(contains(text, "coir::select"));
}

TEST_CASE("select: threads do not choose alike") {
  const auto choices = [] {
    std::string made;
    on_thread([&] {
      coir::event a, b, c;
      a.set(), b.set(), c.set();
      for (int i = 0; i < 40; ++i) made += std::to_string(coir::select(on_set(a), on_set(b), on_set(c)));
    });
    return made;
  };
  const std::string first = choices(), second = choices();
  CHECK(first != second);
}

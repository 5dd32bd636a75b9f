// Jobs on plain threads.
#include <coir/coir.hpp>

#include <malloc.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/real_time.hpp"
#include "threads/gate.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE("thread_pool: a job's result comes back, and only its fiber waits") {
  on_thread([] {
    coir::thread_pool pool(2);
    gate g;
    auto waiting = coir::spawn([&] {
      const auto f = pool.submit(
          [&](int a, std::string b) {
            g.wait();
            return std::to_string(a) + b;
          },
          4, "2");
      return f.get();
    });
    int ticks = 0;
    while (ticks < 10) {
      this_fiber::yield();
      ++ticks;
    }
    CHECK_FALSE(waiting.ready());
    g.open();
    const std::string text = waiting.get();
    CHECK(text == "42");
  });
}

TEST_CASE("thread_pool: results of every kind") {
  on_thread([] {
    coir::thread_pool pool(1);
    static int variable = 3;
    CHECK(&pool.apply([]() -> int& { return variable; }) == &variable);
    pool.apply([] { variable = 4; });
    CHECK(variable == 4);
    CHECK(*pool.apply([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(7)) == 7);
    const std::string text = thrown_text<std::runtime_error>(
        [&] { pool.apply([] { throw std::runtime_error("from the job"); }); });
    CHECK(text == "from the job");
  });
}

TEST_CASE("thread_pool: what the job held is released before its result is there") {
  on_thread([] {
    coir::thread_pool pool(1);
    auto held = std::make_shared<int>(1);
    const auto f = pool.submit([held] { return *held; });
    f.wait();
    CHECK(held.use_count() == 1);
  });
}

TEST_CASE("thread_pool: wrong sizes and idle times are refused, naming them") {
  const auto text = [](auto make) { return thrown_text<std::invalid_argument>(make); };
  CHECK(text([] { coir::thread_pool(0); }) == "coir::thread_pool: size=0: expected 1 to 2147483647");
  CHECK(text([] { coir::thread_pool(-3); }) == "coir::thread_pool: size=-3: expected 1 to 2147483647");
  CHECK(contains(text([] { coir::thread_pool(1, {.name = "x", .idle_time = -1s}); }), "idle_time"));
  coir::thread_pool pool(1);
  CHECK(contains(text([&] { pool.resize(0); }), "resize: size=0"));
  CHECK(coir::thread_pool().size() >= 1);
}

TEST_CASE("thread_pool: never more threads than its size, and no more than are needed") {
  on_thread([] {
    coir::thread_pool pool(3);
    CHECK(pool.threads() == 0);
    std::atomic<int> now{0}, most{0};
    for (int i = 0; i < 5; ++i) {
      pool.submit([] {}).get();
    }
    CHECK(pool.threads() <= 2);  // one may still be on its way to be idle
    std::vector<coir::future<void>> all;
    for (int i = 0; i < 50; ++i)
      all.push_back(pool.submit([&] {
        const int n = ++now;
        int seen = most;
        while (seen < n && !most.compare_exchange_weak(seen, n)) {
        }
        std::this_thread::sleep_for(100us);
        --now;
      }));
    for (auto& f : all) f.get();
    CHECK(most <= 3);
    CHECK(pool.threads() <= 3);
  });
}

TEST_CASE("thread_pool: the destructor waits for all that was submitted, and for the threads' own objects") {
  static std::atomic<int> done, objects;
  struct thread_object {
    thread_object() { ++objects; }
    ~thread_object() { --objects; }
    void use() const {}
  };
  done = objects = 0;
  on_thread([] {
    auto other = coir::spawn([] {
      for (int i = 0; i < 10; ++i) this_fiber::yield();
    });
    {
      coir::thread_pool pool(2);
      for (int i = 0; i < 40; ++i)
        pool.submit([] {
          static thread_local thread_object o;
          o.use();
          std::this_thread::sleep_for(100us);
          ++done;
        });
    }
    CHECK(done == 40);
    CHECK(objects == 0);
    other.join();
  });
}

TEST_CASE("thread_pool: a job waits for its own pool's jobs although no thread is free") {
  on_thread([] {
    coir::thread_pool pool(1);
    struct sum {
      static int up_to(coir::thread_pool& p, int n) {
        return n == 0 ? 0 : n + p.submit(up_to, std::ref(p), n - 1).get();
      }
    };
    const auto f = pool.submit(sum::up_to, std::ref(pool), 50);
    CHECK(f.wait_for(patience));
    CHECK(f.get() == 1275);
  });
}

TEST_CASE("thread_pool: a job's wait with a deadline ends then, and one without does the job") {
  on_thread([] {
    coir::thread_pool pool(1);
    CHECK(pool.apply([&] {
      bool done = false;
      const std::vector<coir::future<void>> all{pool.submit([&] { done = true; })};
      const bool early = !coir::wait_any_for(all, 1ms).empty() || done;
      return !early && coir::wait_any(all).size() == 1 && done;
    }));
  });
}

TEST_CASE("thread_pool: a tree of jobs that wait for each other ends, whatever the size") {
  const int size = GENERATE(1, 2, 5);
  on_thread([&] {
    coir::thread_pool pool(size);
    struct tree {
      static int leaves(coir::thread_pool& p, int depth) {
        if (depth == 0) return 1;
        const auto left = p.submit(leaves, std::ref(p), depth - 1);
        const auto right = p.submit(leaves, std::ref(p), depth - 1);
        return left.get() + right.get();
      }
    };
    CHECK(pool.apply(tree::leaves, std::ref(pool), 9) == 512);
  });
}

TEST_CASE("thread_pool: map gives results in the order of the items, whatever their times") {
  on_thread([] {
    coir::thread_pool pool(4);
    std::vector<int> items(30);
    std::iota(items.begin(), items.end(), 0);
    std::vector<int> got;
    for (const int square : pool.map(items, [](int i) {
           std::this_thread::sleep_for(std::chrono::microseconds(i % 3 * 200));
           return i * i;
         }))
      got.push_back(square);
    REQUIRE(got.size() == 30);
    for (int i = 0; i < 30; ++i) CHECK(got[static_cast<std::size_t>(i)] == i * i);
    CHECK(pool.map(std::vector<int>(), [](int i) { return i; }).get().empty());
  });
}

TEST_CASE("thread_pool: map loses no result to an interrupt that comes at the same moment") {
  on_thread([] {
    coir::thread_pool pool(1);
    std::atomic<bool> done{false};
    auto results = pool.map(std::array{1, 2, 3}, [&](int i) {
      std::this_thread::sleep_for(2ms);
      done = i == 1 || done;
      return i;
    });
    auto busy = coir::spawn([&] {
      while (!done) coir::detail::pause();
      std::this_thread::sleep_for(5ms);
      for (int i = 0; i < 1000; ++i) this_fiber::yield();  // until the thread looks: both are due
    });
    std::vector<int> got;
    try {
      coir::timeout limit(1ms);
      while (const auto r = results.next()) got.push_back(*r);
    } catch (const coir::timed_out&) {
    }
    while (const auto r = results.next()) got.push_back(*r);
    CHECK(got == std::vector{1, 2, 3});
    busy.join();
  });
}

TEST_CASE("thread_pool: an item of map that throws throws in its turn, and the others come") {
  on_thread([] {
    coir::thread_pool pool(2);
    auto results = pool.map(std::array{1, 2, 3}, [](int i) {
      if (i == 2) throw std::runtime_error("two");
      return i;
    });
    CHECK(results.next() == 1);
    const std::string text = thrown_text<std::runtime_error>([&] { results.next(); });
    CHECK(text == "two");
    CHECK(results.next() == 3);
    CHECK(results.next() == std::nullopt);
    int called = 0;
    std::atomic<int> sum{0};
    auto none = pool.map(std::array{1, 2}, [&](int i) { sum += i; });
    while (none.next()) ++called;
    CHECK(called == 2);
    CHECK(sum == 3);
  });
}

TEST_CASE("thread_pool: starmap spreads tuples, and map moves what only moves") {
  on_thread([] {
    coir::thread_pool pool(2);
    const std::vector<std::tuple<int, std::string>> pairs{{2, "a"}, {3, "b"}};
    const auto texts = pool.starmap(pairs,
                                    [](int n, const std::string& s) {
                                      std::string all;
                                      for (int i = 0; i < n; ++i) all += s;
                                      return all;
                                    })
                           .get();
    CHECK(texts == std::vector<std::string>{"aa", "bbb"});
    std::vector<std::unique_ptr<int>> owners;
    owners.push_back(std::make_unique<int>(5));
    auto moved = pool.map(std::move(owners), [](std::unique_ptr<int> p) { return p; }).get();
    CHECK(*moved[0] == 5);
  });
}

TEST_CASE("thread_pool: map copies what references refer to, and what proxies stand for") {
  on_thread([] {
    coir::thread_pool pool(1);
    std::vector<std::unique_ptr<std::string>> own;
    own.push_back(std::make_unique<std::string>("a text that is longer than a string holds in itself"));
    const std::string before = *own[0];
    auto of_mutable = pool.map(std::vector<int>{0}, [&](int i) -> std::string& { return *own[i]; }).get();
    auto of_const = pool.map(std::vector<int>{0}, [&](int i) -> const std::string& { return *own[i]; }).get();
    CHECK(*own[0] == before);
    CHECK(of_mutable.at(0) == before);
    CHECK(of_const.at(0) == before);

    gate g;
    auto blocks = pool.submit([&] { g.wait(); });
    std::vector<bool> bits(1000, true);
    auto all = pool.map(bits, [](auto bit) { return bit ? 1 : 0; });
    bits.flip();
    g.open();
    const auto ones = all.get();
    CHECK(std::accumulate(ones.begin(), ones.end(), 0) == 1000);
  });
}

TEST_CASE("thread_pool: an exception whose future is gone is reported") {
  std::string text;
  {
    const captured_stderr err;
    on_thread([] {
      coir::thread_pool pool(1);
      pool.submit([] { throw std::runtime_error("unseen"); });
      const auto seen = pool.submit([] { throw std::runtime_error("seen"); });
      CHECK(throws<std::runtime_error>([&] { seen.get(); }));
      const auto asked = pool.submit([] { throw std::runtime_error("asked"); });
      asked.wait();
      CHECK(asked.exception() != nullptr);
    });
    text = err.text();
  }
  CHECK(contains(text, "coir: a job ended by std::runtime_error: unseen\n"));
}

TEST_CASE("thread_pool: jobs see their submitter's inherited values, and leave none behind") {
  on_thread([] {
    coir::inherited<int> value(0);
    coir::thread_pool pool(1);
    coir::future<int> f, nested;
    {
      const auto scope = value.with(7);
      f = pool.submit([&] {
        const int before = *value;
        value.set(8);
        nested = pool.submit([&] { return *value; });
        return before * 10 + nested.get();
      });
      CHECK(f.get() == 78);
    }
    CHECK(pool.apply([&] { return *value; }) == 0);
    CHECK(pool.apply([&] { return coir::spawn([&] { return *value; }).get(); }) == 0);
  });
}

TEST_CASE("thread_pool: jobs run with signals blocked, on threads with a name") {
  on_thread([] {
    coir::thread_pool pool(1, {.name = "a name that is far too long"});
    CHECK(pool.apply([] {
      sigset_t set;
      ::pthread_sigmask(SIG_SETMASK, nullptr, &set);
      return sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGCHLD) == 1 &&
             sigismember(&set, SIGSEGV) == 0;
    }));
    CHECK(pool.apply([] {
      char name[16];
      ::pthread_getname_np(::pthread_self(), name, sizeof name);
      return std::string(name);
    }) == "a name that is ");
  });
}

TEST_CASE("thread_pool: jobs use coir as any thread does") {
  on_thread([] {
    coir::thread_pool pool(2);
    coir::channel<int> c;
    const auto f = pool.submit([&] {
      auto g = coir::spawn([&] { return *c.pop(); });
      c.push(4);
      return g.get();
    });
    CHECK(f.get() == 4);
    coir::event set;
    auto fiber = coir::spawn([&] {
      set.wait();
      return 9;
    });
    const auto joined = pool.submit([&] { return fiber.get(); });  // from a plain thread
    set.set();
    CHECK(joined.get() == 9);
  });
}

TEST_CASE("thread_pool: futures are waited for by many at once, and their callbacks run once") {
  on_thread([] {
    coir::thread_pool pool(2);
    std::atomic<int> callbacks{0}, right{0};
    for (int round = 0; round < 200; ++round) {
      const auto f = pool.submit([round] { return round; });
      f.on_done([&, round](const coir::future<int>& done) { callbacks += done.get() == round; });
      const auto wait = [&, f, round] { right += f.get() == round; };
      auto a = coir::spawn(wait), b = coir::spawn(wait);
      const auto c = pool.submit(wait);
      coir::wait_all(a, b);
      c.get();
    }
    pool.shutdown();
    CHECK(callbacks == 200);
    CHECK(right == 600);
  });
}

TEST_CASE("thread_pool: what was cancelled is gone from a busy pool") {
  on_thread([] {
    coir::thread_pool pool(1);
    gate g;
    const auto busy = pool.submit([&] { g.wait(); });
    g.await(1);
    const auto used = [] {
      const struct mallinfo2 m = ::mallinfo2();
      return m.uordblks + m.hblkhd;
    };
    const std::size_t before = used();
    for (int i = 0; i < 10'000; ++i) CHECK(pool.submit([] {}).cancel());
    CHECK(used() <= before + 100'000);
    // Of many the first, the last and some in the middle; the rest is done.
    std::vector<coir::future<int>> kept;
    for (int i = 0; i < 100; ++i) kept.push_back(pool.submit([i] { return i; }));
    for (std::size_t i = 0; i < 100; i += 3) CHECK(kept[i].cancel());
    g.open();
    busy.get();
    int sum = 0;
    for (std::size_t i = 0; i < 100; ++i)
      if (i % 3 != 0) sum += kept[i].get();
    CHECK(sum == 99 * 100 / 2 - 3 * 33 * 34 / 2);
  });
}

TEST_CASE("thread_pool: a future is cancelled when its pool is no more") {
  on_thread([] {
    coir::future<int> late, never;
    {
      coir::thread_pool pool(1);
      gate g;
      const auto busy = pool.submit([&] { g.wait(); });
      g.await(1);
      never = pool.submit([] { return 1; });
      late = pool.submit([] { return 2; });
      CHECK(never.cancel());
      g.open();
    }
    CHECK_FALSE(late.cancel());
    CHECK_FALSE(never.cancel());
    CHECK(late.get() == 2);
  });
}

TEST_CASE("thread_pool: cancelled by several threads while its own take jobs, each is done or not") {
  on_thread([] {
    coir::thread_pool pool(2);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> done{0}, cancelled{0};
      std::vector<coir::future<void>> futures;
      for (int i = 0; i < 200; ++i) futures.push_back(pool.submit([&] { ++done; }));
      const auto cancel = [&](std::size_t from) {
        for (std::size_t i = from; i < futures.size(); i += 2)
          if (futures[i].cancel()) ++cancelled;
      };
      std::thread other(cancel, 0);
      cancel(1);
      other.join();
      for (const auto& f : futures)
        if (!f.cancelled()) f.wait();
      CHECK(done + cancelled == 200);
    }
  });
}

// Calls in worker processes.
#include <malloc.h>
#include <sys/mman.h>

#include <array>
#include <functional>
#include <map>
#include <numeric>
#include <thread>

#include "pool_calls.hpp"

using namespace unit;
using coir::process_pool;
namespace this_fiber = coir::this_fiber;

namespace {

void nothing() {}
std::string joined(const std::vector<std::string>& words, const std::string& by) {
  std::string all;
  for (const std::string& w : words) all += w + by;
  return all;
}
[[noreturn]] int sleep_for_ever() {
  for (;;) ::pause();
}

struct my_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

TEST_CASE("process_pool: calls functions and lambdas in other processes") {
  with_children([] {
    process_pool pool(2);
    CHECK(pool.size() == 2);
    CHECK(pool.submit(twice, 21).get() == 42);
    CHECK(pool.submit(&twice, 4).get() == 8);
    CHECK(pool.submit([](int a, int b) { return a + b; }, 1, 2).get() == 3);
    CHECK(pool.submit(std::plus<int>(), 3, 4).get() == 7);
    CHECK(pool.submit(process).get() != ::getpid());
    pool.submit(nothing).get();
    CHECK(pool.submit([] { return ::getppid(); }).get() != ::getpid());
  });
}

TEST_CASE("process_pool: arguments and results are what cereal serialises") {
  with_children([] {
    process_pool pool(1);
    CHECK(pool.submit(joined, std::vector<std::string>{"a", "b"}, "-").get() == "a-b-");
    const auto counts = pool.submit(
        [](const std::string& text) {
          std::map<char, int> n;
          for (const char c : text) ++n[c];
          return n;
        },
        "hello");
    CHECK((counts.get() == std::map<char, int>{{'h', 1}, {'e', 1}, {'l', 2}, {'o', 1}}));
  });
}

TEST_CASE("process_pool: other fibers run while a call is made") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto result = pool.submit(hold, stage.address(), 5);
    auto opener = coir::spawn([&] {
      while (*stage.get() != 1) this_fiber::yield();
      *stage.get() = 2;
    });
    CHECK(result.get() == 5);
    opener.join();
  });
}

TEST_CASE("process_pool: as many calls as workers are made at once, and no more") {
  with_children([] {
    const shared_value<int> running;
    process_pool pool(3);
    // Each waits until all three are there.
    const auto meet = [](std::uint64_t address) {
      std::atomic<int>& n = shared_int(address);
      ++n;
      while (n % 3 != 0) std::this_thread::yield();
      return ::getpid();
    };
    std::vector<coir::future<int>> all;
    for (int i = 0; i < 3; ++i) all.push_back(pool.submit(meet, running.address()));
    CHECK(all[0].get() != all[1].get());
    CHECK(all[1].get() != all[2].get());
    std::vector<coir::future<int>> more;
    for (int i = 0; i < 30; ++i) more.push_back(pool.submit(process));
    for (const auto& f : more) {
      const int pid = f.get();
      CHECK((pid == all[0].get() || pid == all[1].get() || pid == all[2].get()));
    }
  });
}

TEST_CASE("process_pool: exceptions come back, as themselves where they are the standard's") {
  with_children([] {
    process_pool pool(1);
    CHECK(error_of(pool.submit([] { throw std::invalid_argument("x=1"); })) == "invalid_argument x=1");
    CHECK(error_of(pool.submit([] { throw std::out_of_range("far"); })) == "out_of_range far");
    CHECK(error_of(pool.submit([] { throw std::runtime_error("text"); })) == "runtime_error text");
    CHECK(error_of(pool.submit([] { throw std::bad_alloc(); })) == "bad_alloc");
    CHECK(error_of(pool.submit([] { throw std::system_error(ENOENT, std::system_category(), "open x"); })) ==
          "system_error open x: No such file or directory");
    CHECK(error_of(pool.submit([] { throw std::system_error(std::make_error_code(std::errc::io_error)); })) ==
          "system_error Input/output error");
    CHECK(error_of(pool.submit([] { throw my_error("mine"); })) ==
          "remote_error (anonymous namespace)::my_error|mine");
    CHECK(error_of(pool.submit([] { throw 7; })) == "remote_error int|");
    CHECK(error_of(pool.submit([] { throw coir::cancelled(); })) == "remote_error coir::cancelled|");
    CHECK(pool.submit(twice, 1).get() == 2);
  });
}

TEST_CASE("process_pool: large arguments and results, without blocking the thread") {
  with_children([] {
    process_pool pool(2);
    const std::string large(10 << 20, 'x');
    int ticks = 0;
    auto ticker = coir::spawn([&] {
      for (;; ++ticks) this_fiber::sleep_for(1ms);
    });
    const auto turned = [](std::string s) {
      s += "y";
      return s;
    };
    auto a = pool.submit(turned, large), b = pool.submit(turned, large);
    CHECK((a.get() == large + "y"));
    CHECK((b.get() == large + "y"));
    ticker.cancel();
    ticker.join();
    CHECK(ticks > 0);
  });
}

TEST_CASE("process_pool: map gives results in order and exceptions at their items") {
  with_children([] {
    process_pool pool(3);
    std::vector<int> numbers(100);
    std::iota(numbers.begin(), numbers.end(), 0);
    for (const int chunk : {1, 7, 1000}) {
      auto results = pool.map(
          numbers,
          [](int i) {
            if (i % 10 == 3) throw std::invalid_argument(std::to_string(i));
            return i * i;
          },
          chunk);
      for (const int i : numbers) {
        if (i % 10 == 3)
          CHECK(thrown_text<std::invalid_argument>([&] { results.next(); }) == std::to_string(i));
        else
          CHECK(results.next() == i * i);
      }
      CHECK(results.next() == std::nullopt);
    }
    int sum = 0;
    for (const int r : pool.map(std::vector<int>{1, 2, 3}, twice)) sum += r;
    CHECK(sum == 12);
    int calls = 0;
    for ([[maybe_unused]] auto r : pool.map(std::vector<int>{1, 2}, [](int) {})) ++calls;
    CHECK(calls == 2);
    CHECK(pool.map(std::vector<int>{}, twice).next() == std::nullopt);
    CHECK(contains(thrown_text<std::invalid_argument>([&] { pool.map(numbers, twice, 0); }), "chunk=0"));
  });
}

TEST_CASE("process_pool: an interrupted map loses nothing, an abandoned one is called off") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto blocker = pool.submit(hold, stage.address(), 0);
    {
      auto results = pool.map(std::vector<int>{1, 2}, twice);
      CHECK(!coir::with_timeout(0ms, [&] { return results.next(); }));
      auto abandoned =
          pool.map(std::vector<std::uint64_t>{stage.address()}, [](std::uint64_t a) { shared_int(a) = 7; });
      { const auto gone = std::move(abandoned); }
      while (*stage.get() != 1) this_fiber::yield();
      *stage.get() = 2;
      CHECK(results.next() == 2);
      CHECK(results.next() == 4);
    }
    pool.join();
    CHECK(*stage.get() == 2);
  });
}

TEST_CASE("process_pool: cancel calls off what has not begun, and does not interrupt what has") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto running = pool.submit(hold, stage.address(), 1);
    auto queued = pool.submit([](std::uint64_t a) { shared_int(a) = 7; }, stage.address());
    auto last = pool.submit(twice, 2);
    while (*stage.get() != 1) this_fiber::yield();
    CHECK(queued.cancel());
    CHECK(queued.cancelled());
    CHECK(error_of(queued) == "cancelled");
    CHECK(!running.cancel());
    *stage.get() = 2;
    CHECK(running.get() == 1);
    CHECK(last.get() == 4);
    CHECK(*stage.get() == 2);
  });
}

TEST_CASE("process_pool: the wait for a result is interrupted, the call goes on") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto result = pool.submit(hold, stage.address(), 3);
    auto f = coir::spawn([&] { result.get(); });
    this_fiber::yield();
    f.cancel();
    f.join();
    CHECK(!coir::with_timeout(1ms, [&] { result.wait(); }));
    CHECK(!pool.join_for(1ms));
    while (*stage.get() != 1) this_fiber::yield();
    *stage.get() = 2;
    CHECK(result.get() == 3);
  });
}

TEST_CASE("process_pool: the destructor finishes what was submitted, also in a cancelled fiber") {
  with_children([] {
    std::vector<coir::future<int>> all;
    auto f = coir::spawn([&] {
      process_pool pool(2);
      for (int i = 0; i < 50; ++i) all.push_back(pool.submit(twice, i));
      this_fiber::sleep_for(1h);
    });
    while (all.size() < 50) this_fiber::sleep_for(1ms);
    f.cancel();
    f.join();
    for (int i = 0; i < 50; ++i)
      CHECK((all[static_cast<std::size_t>(i)].ready() && all[static_cast<std::size_t>(i)].get() == 2 * i));
  });
}

TEST_CASE("process_pool: shutdown takes no more, join waits for the rest") {
  with_children([] {
    process_pool pool(1);
    auto f = pool.submit(twice, 1);
    pool.shutdown();
    CHECK(contains(thrown_text<std::logic_error>([&] { pool.submit(twice, 1); }), "shut down"));
    pool.join();
    CHECK(f.ready());
    pool.join();
    CHECK(no_children());
  });
}

TEST_CASE("process_pool: terminate kills") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(2);
    auto held = pool.submit(hold, stage.address(), 1);
    auto asleep = pool.submit(sleep_for_ever);
    auto queued = pool.submit(twice, 1);
    while (*stage.get() != 1) this_fiber::yield();
    pool.terminate();
    CHECK(error_of(held) == "worker_crashed killed by SIGKILL");
    const std::string end = error_of(asleep);
    INFO(end);
    CHECK((end == "worker_crashed killed by SIGKILL" || end == "cancelled"));
    CHECK(error_of(queued) == "cancelled");
    pool.join();
    pool.terminate();
    CHECK(throws<std::logic_error>([&] { pool.submit(twice, 1); }));
  });
}

TEST_CASE("process_pool: wrong sizes are refused by name") {
  with_children([] {
    CHECK(contains(thrown_text<std::invalid_argument>([] { process_pool pool(0); }), "workers=0"));
    CHECK(contains(thrown_text<std::invalid_argument>([] { process_pool pool(-3); }), "workers=-3"));
  });
}

TEST_CASE("process_pool: functions may use fibers, deep stacks, and threads of their own") {
  with_children([] {
    process_pool pool(1);
    for (int round = 0; round < 3; ++round)
      CHECK(pool.submit([] {
                  auto a = coir::spawn([] {
                    this_fiber::sleep_for(1ms);
                    return 1;
                  });
                  auto b = coir::spawn([] { return 2; });
                  return a.get() + b.get();
                })
                .get() == 3);
    CHECK(pool.submit([] {
                volatile char deep[4 << 20];
                deep[0] = 1;
                deep[sizeof deep - 1] = 2;
                return deep[0] + deep[sizeof deep - 1];
              })
              .get() == 3);
    CHECK(pool.submit([] {
                int x = 0;
                std::thread([&] { x = 5; }).join();
                return x;
              })
              .get() == 5);
    CHECK(pool.submit([] {
                return coir::subprocess::check_output({"echo", "from a worker"});
              })
              .get() == "from a worker\n");
  });
}

TEST_CASE("process_pool: fibers that a call left behind go on between calls") {
  with_children([] {
    const shared_value<int> steps;
    process_pool pool(1);
    pool.submit(
            [](std::uint64_t address) {
              coir::spawn([address] {
                for (int i = 1; i <= 3; ++i) {
                  this_fiber::sleep_for(1ms);
                  shared_int(address) = i;
                }
              });
            },
            steps.address())
        .get();
    CHECK(comes_true([&] { return *steps.get() == 3; }));
  });
}

TEST_CASE("process_pool: many threads submit") {
  with_children([] {
    process_pool pool(2);
    std::atomic<int> sum{0};
    joined_threads threads;
    for (int t = 0; t < 4; ++t)
      threads.start([&] {
        for (int i = 0; i < 50; ++i) sum += pool.submit(twice, i).get();
      });
    threads.join();
    CHECK(sum == 4 * 49 * 50);
  });
}

TEST_CASE("process_pool: on_done of a result, and futures that outlive the pool") {
  with_children([] {
    coir::event called;
    coir::future<int> kept;
    {
      process_pool pool(1);
      kept = pool.submit(twice, 3);
      kept.on_done([&](const coir::future<int>& f) {
        if (f.get() == 6) called.set();
      });
    }
    CHECK(called.is_set());
    CHECK(kept.get() == 6);
  });
}

TEST_CASE("process_pool: code that was loaded later is refused") {
  with_children([] {
    process_pool pool(1);
    void* fresh = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const auto f = reinterpret_cast<int (*)(int)>(fresh);
    CHECK(contains(thrown_text<std::invalid_argument>([&] { pool.submit(f, 1); }),
                   "loaded when the pool was made"));
    ::munmap(fresh, 4096);
  });
}

TEST_CASE("process_pool: many workers cost nothing until they are needed") {
  with_children([] {
    process_pool pool(1'000'000);
    CHECK(pool.size() == 1'000'000);
    CHECK(pool.submit(twice, 1).get() == 2);
  });
}

TEST_CASE("process_pool: map of bools") {
  with_children([] {
    process_pool pool(1);
    auto results = pool.map(
        std::array<bool, 2>{true, false}, [](bool b) { return !b; }, 2);
    CHECK(results.next() == false);
    CHECK(results.next() == true);
  });
}

TEST_CASE(
    "process_pool: what was cancelled gives its input back, though the pool is busy and the future kept") {
  with_children([] {
    process_pool pool(1);
    const auto busy = pool.submit(sleep_for_ever);
    const auto used = [] {
      const struct mallinfo2 m = ::mallinfo2();
      return m.uordblks + m.hblkhd;
    };
    const auto size_of = [](const std::string& text) { return text.size(); };
    const std::size_t before = used();
    std::vector<coir::future<std::size_t>> kept;
    for (int i = 0; i < 10; ++i) kept.push_back(pool.submit(size_of, std::string(1'000'000, 'x')));
    for (const auto& f : kept) CHECK(f.cancel());
    CHECK(used() <= before + 100'000);
    for (int i = 0; i < 10'000; ++i) CHECK(pool.submit(size_of, std::string("x")).cancel());
    CHECK(used() <= before + 200'000);
    pool.terminate();
    CHECK(throws<std::exception>([&] { busy.get(); }));
  });
}

TEST_CASE("process_pool: calls around cancelled ones are made, in their order") {
  with_children([] {
    process_pool pool(1);
    std::vector<coir::future<int>> calls;
    for (int i = 0; i < 60; ++i) calls.push_back(pool.submit(twice, i));
    int cancelled = 0, sum = 0;
    for (std::size_t i = 0; i < 60; i += 2) cancelled += calls[i].cancel() ? 1 : 0;
    for (const auto& f : calls)
      if (!f.cancelled()) sum += f.get();
    CHECK(cancelled > 0);
    CHECK(sum >= 2 * 900);  // the odd ones at least
    CHECK(pool.submit(twice, 4).get() == 8);
  });
}

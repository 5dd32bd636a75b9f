// The ends of jobs, threads and pools.
#include <coir/coir.hpp>

#include <array>
#include <atomic>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/process.hpp"
#include "support/real_time.hpp"
#include "threads/gate.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE("thread_pool: results that nobody takes are called off") {
  on_thread([] {
    coir::thread_pool pool(1);
    gate g;
    std::atomic<int> begun{0};
    {
      auto results = pool.map(std::array{1, 2, 3}, [&](int i) {
        ++begun;
        g.wait();
        return i;
      });
      g.await(1);
    }
    g.open();
    pool.shutdown();
    CHECK(begun == 1);
  });
}

TEST_CASE("thread_pool: a job that has not begun can be cancelled, and never runs") {
  counted::instances = 0;
  on_thread([] {
    coir::thread_pool pool(1);
    gate g;
    const auto running = pool.submit([&] { g.wait(); });
    g.await(1);
    std::atomic<bool> ran{false};
    const auto queued = pool.submit([&ran, c = counted()] { ran = true; });
    CHECK_FALSE(running.cancel());
    CHECK(queued.cancel());
    CHECK(counted::instances == 0);
    CHECK(throws<coir::cancelled>([&] { queued.get(); }));
    CHECK_FALSE(queued.cancel());
    const auto after = pool.submit([] { return 1; });
    g.open();
    CHECK(after.get() == 1);
    CHECK_FALSE(ran);
    CHECK(running.successful());
  });
}

TEST_CASE("thread_pool: jobs cancelled by many threads while the pool takes them end one way each") {
  on_thread([] {
    std::atomic<int> ran{0}, called_off{0}, callbacks{0};
    constexpr int count = 2000;
    {
      coir::thread_pool pool(2);
      std::vector<coir::future<void>> all;
      for (int i = 0; i < count; ++i) all.push_back(pool.submit([&] { ++ran; }));
      for (auto& f : all) f.on_done([&](const auto&) { ++callbacks; });
      joined_threads cancellers;
      for (int t = 0; t < 2; ++t)
        cancellers.start([&] {
          for (auto f = all.rbegin(); f != all.rend(); ++f) called_off += f->cancel();
        });
    }
    CHECK(ran + called_off == count);
    CHECK(callbacks == count);
  });
}

TEST_CASE("thread_pool: close refuses others' jobs, not those of its own, and shutdown waits") {
  on_thread([] {
    coir::thread_pool pool(1);
    gate g;
    coir::future<int> inner;
    pool.submit([&] {
      g.wait();
      inner = pool.submit([] { return 5; });
    });
    g.await(1);
    pool.close();
    const std::string text = thrown_text<std::logic_error>([&] { pool.submit([] {}); });
    CHECK(text == "coir::thread_pool::submit: the pool was closed");
    g.open();
    pool.shutdown();
    CHECK(inner.get() == 5);
    CHECK(pool.threads() == 0);
    pool.shutdown();  // again: nothing
  });
}

TEST_CASE("thread_pool: pending jobs can be cancelled all at once") {
  on_thread([] {
    coir::thread_pool pool(1);
    gate g;
    pool.submit([&] { g.wait(); });
    g.await(1);
    std::vector<coir::future<void>> queued;
    for (int i = 0; i < 10; ++i) queued.push_back(pool.submit([] {}));
    pool.cancel_pending();
    for (auto& f : queued) CHECK(f.cancelled());
    CHECK(pool.submit([] { return 2; }).cancel());
    g.open();
    CHECK(pool.apply([] { return 3; }) == 3);
  });
}

TEST_CASE("thread_pool: a job that shuts its own pool down is told that it cannot") {
  on_thread([] {
    coir::thread_pool pool(1);
    CHECK(throws<std::system_error>([&] { pool.apply([&] { pool.shutdown(); }); }));
  });
}

TEST_CASE("thread_pool: a wait for its end can be cancelled, and the pool destroyed all the same") {
  on_thread([] {
    gate g;
    coir::thread_pool pool(1);
    pool.submit([&] { g.wait(); });
    auto f = coir::spawn([&] { pool.shutdown(); });
    g.await(1);
    f.cancel();
    CHECK(throws<coir::cancelled>([&] { f.get(); }));
    g.open();
  });
}

TEST_CASE("thread_pool: idle threads retire, and come back") {
  on_thread([] {
    coir::thread_pool pool(4, {.name = "brief", .idle_time = 1ms});
    for (int round = 0; round < 3; ++round) {
      std::vector<coir::future<void>> all;
      for (int i = 0; i < 8; ++i) all.push_back(pool.submit([] { std::this_thread::sleep_for(100us); }));
      for (auto& f : all) f.get();
      const stopwatch watch;
      while (pool.threads() != 0 && watch.elapsed() < patience) this_fiber::sleep_for(1ms);
      CHECK(pool.threads() == 0);
    }
  });
}

TEST_CASE("thread_pool: no job is lost while threads retire all the time") {
  on_thread([] {
    coir::thread_pool pool(2, {.name = "brief", .idle_time = 0ns});
    for (int i = 0; i < 500; ++i) {
      const auto f = pool.submit([i] { return i; });
      REQUIRE(f.wait_for(patience));
      CHECK(f.get() == i);
      if (i % 7 == 0) this_fiber::sleep_for(50us);
    }
  });
}

TEST_CASE("thread_pool: its size changes under load") {
  on_thread([] {
    coir::thread_pool pool(1);
    std::atomic<int> done{0};
    std::atomic<bool> stop{false};
    joined_threads resizer;
    resizer.start([&] {
      for (int n = 1; !stop; n = n % 8 + 1) pool.resize(n);
    });
    std::vector<coir::future<void>> all;
    for (int i = 0; i < 5000; ++i) all.push_back(pool.submit([&] { ++done; }));
    for (auto& f : all) f.get();
    stop = true;
    resizer.join();
    CHECK(done == 5000);
    pool.resize(2);
    gate g;
    std::vector<coir::future<void>> held;
    for (int i = 0; i < 3; ++i) held.push_back(pool.submit([&] { g.wait(); }));
    g.await(2);
    pool.resize(3);  // starts one for the third, which waits
    g.await(3);
    pool.resize(1);
    g.open();
    for (auto& f : held) f.get();
    const stopwatch watch;
    while (pool.threads() > 1 && watch.elapsed() < patience) this_fiber::sleep_for(1ms);
    CHECK(pool.threads() <= 1);
    CHECK(pool.size() == 1);
  });
}

// Many at once, where what is waited for ends on other threads, and for real.
#include <coir/coir.hpp>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

constexpr int threads = 3, fibers_each = 200;

// Fibers of several threads, which end after times of their own; `meet(fibers)` runs on this one meanwhile.
template <class Meet>
void with_distant_fibers(Meet meet) {
  std::vector<coir::fiber<int>> fibers[threads];
  std::atomic<int> spawned{0};
  joined_threads homes;
  for (auto& mine : fibers)
    homes.start([&mine, &spawned] {
      for (int i = 0; i < fibers_each; ++i)
        mine.push_back(coir::spawn([i]() -> int {
          this_fiber::sleep_for(std::chrono::microseconds(i * 7919 % 3001));
          if (i % 10 == 3) throw std::runtime_error("third");
          return i;
        }));
      ++spawned;
      while (coir::inspect::fiber_count() != 0) this_fiber::sleep_for(1ms);
    });
  while (spawned != threads) std::this_thread::yield();
  std::vector<coir::fiber<int>> all;
  for (auto& mine : fibers)
    for (auto& f : mine) all.push_back(std::move(f));
  meet(all);
  coir::wait_all(all);
  for (const auto& f : all) f.exception();
  homes.join();
}

}  // namespace

TEST_CASE("as_completed: names each fiber of other threads once, on a fiber and on a plain thread") {
  const bool on_fiber = GENERATE(false, true);
  on_thread([&] {
    with_distant_fibers([&](const std::vector<coir::fiber<int>>& fibers) {
      std::size_t named = 0, failed = 0, unready = 0;
      const auto go_through = [&] {
        for (const auto& f : coir::as_completed(fibers)) {
          ++named;
          unready += !f.ready();
          failed += f.exception() != nullptr;
        }
      };
      if (on_fiber)
        coir::spawn(go_through).get();
      else
        go_through();
      CHECK(named == fibers.size());
      CHECK(failed == fibers.size() / 10);
      CHECK(unready == 0);
    });
  });
}

TEST_CASE("as_completed: left while fibers of other threads end, it leaves nothing behind") {
  on_thread([] {
    for (int round = 0; round < 20; ++round)
      with_distant_fibers([&](const std::vector<coir::fiber<int>>& fibers) {
        auto completed = coir::as_completed(fibers);
        for (int i = 0; i < round * 25; ++i) completed.next();
      });
  });
}

TEST_CASE("links: taken back while the fiber ends on another thread, either taken back or called") {
  on_thread([] {
    std::atomic<int> called{0};
    int taken = 0, total = 0;
    for (int round = 0; round < 20; ++round)
      with_distant_fibers([&](const std::vector<coir::fiber<int>>& fibers) {
        for (const auto& f : fibers) {
          const auto id = f.on_done([&](const coir::fiber<int>&) { ++called; });
          const auto other = f.on_done([](const coir::fiber<int>&) {});
          if (other % 2 == 0) std::this_thread::yield();
          taken += f.remove_on_done(id);
          ++total;
        }
      });
    CHECK(taken + called == total);
  });
}

TEST_CASE("gather: rethrows what a fiber of another thread threw") {
  on_thread([] {
    with_distant_fibers([](const std::vector<coir::fiber<int>>& fibers) {
      CHECK(throws<std::runtime_error>([&] { coir::gather(fibers); }));
    });
  });
}

TEST_CASE("handle: a plain thread joins a fiber of another thread, and gets its result") {
  std::optional<coir::fiber<int>> f;
  std::atomic<bool> spawned{false};
  joined_threads home;
  home.start([&] {
    const auto mine = coir::spawn([] {
      this_fiber::sleep_for(5ms);
      return 7;
    });
    f = mine;
    spawned = true;
    mine.join();
  });
  while (!spawned) std::this_thread::yield();
  joined_threads askers;
  std::atomic<int> sum{0};
  for (int i = 0; i < 3; ++i)
    askers.start([&] {
      f->join();
      if (f->join_for(patience)) sum += f->get();
    });
  askers.join();
  home.join();
  CHECK(sum == 21);
}

TEST_CASE("cancel_all_for: cancels fibers of other threads and waits for their ends") {
  on_thread([] {
    with_distant_fibers([](const std::vector<coir::fiber<int>>& fibers) {
      const bool all = coir::cancel_all_for(fibers, patience);
      CHECK(all);
    });
  });
}

TEST_CASE("group: refuses a fiber of another thread") {
  on_thread([] {
    this_fiber::yield();  // this thread has its scheduler before the others, whose places might become free
    with_distant_fibers([](const std::vector<coir::fiber<int>>& fibers) {
      coir::group g;
      CHECK(throws<std::invalid_argument>([&] { g.add(fibers[0]); }));
      CHECK(g.empty());
    });
  });
}

TEST_CASE("map: waits for real, within its limit") {
  on_thread([] {
    open_reactor();
    const std::vector<int> items(40, 5);
    int now = 0, most = 0, taken = 0;
    const stopwatch watch;
    for (const int ms : coir::map(
             items,
             [&](int i) {
               most = std::max(most, ++now);
               this_fiber::sleep_for(std::chrono::milliseconds(i));
               --now;
               return i;
             },
             10))
      taken += ms == 5;
    CHECK(taken == 40);
    CHECK(most == 10);
    CHECK(watch.elapsed() >= 20ms);
  });
}

TEST_CASE("timeout: nested, of real time, whichever fires is the one reported") {
  on_thread([] {
    for (const bool inner_first : {true, false}) {
      const coir::timeout outer(inner_first ? nanoseconds(patience) : nanoseconds(2ms));
      const coir::timeout inner(inner_first ? nanoseconds(2ms) : nanoseconds(patience));
      const void* named = nullptr;
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::timed_out& e) {
        named = e.scope();
      }
      CHECK(named == (inner_first ? static_cast<const void*>(&inner) : &outer));
    }
  });
}

TEST_CASE("spawn_later: cancelled before its real time it never runs, and its links fire") {
  on_thread([] {
    bool ran = false, linked = false;
    auto f = coir::spawn_later(1h, [&] { ran = true; });
    f.on_done([&](const coir::fiber<void>&) { linked = true; });
    this_fiber::sleep_for(1ms);
    f.cancel();
    f.join();
    CHECK_FALSE(ran);
    CHECK(linked);
  });
}

TEST_CASE("pool: bounds what waits for real, and tells a member of the deadlock") {
  on_thread([] {
    coir::pool p(4);
    int now = 0, most = 0;
    for (int i = 0; i < 40; ++i)
      p.spawn([&] {
        most = std::max(most, ++now);
        this_fiber::sleep_for(1ms);
        --now;
      });
    p.join();
    CHECK(most == 4);
    p.resize(1);
    const auto member = p.spawn([&] { p.spawn([] {}); });
    member.join();
    CHECK(throws<std::system_error>([&] { member.get(); }));
  });
}

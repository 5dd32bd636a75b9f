// Real time: nothing ends early, and not much later than it should.
#include <coir/coir.hpp>

#include <atomic>
#include <random>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE("sleep: never ends early, whether the thread sleeps in a futex or in a reactor") {
  const bool in_reactor = GENERATE(false, true);
  on_thread([&] {
    if (in_reactor) open_reactor();
    std::mt19937 random(3);
    int early = 0;
    std::vector<coir::fiber<void>> fibers;
    for (int i = 0; i < 500; ++i) {
      const auto d = std::chrono::nanoseconds(random() % 50'000'000);
      fibers.push_back(coir::spawn([&early, d] {
        const stopwatch time;
        this_fiber::sleep_for(d);
        if (time.elapsed() < d) ++early;
      }));
    }
    const stopwatch time;
    coir::wait_all(fibers);
    CHECK(early == 0);
    CHECK(time.elapsed() < 50ms + patience);
  });
}

TEST_CASE("sleep: until a point of the system's clock") {
  on_thread([] {
    const auto until = std::chrono::system_clock::now() + 5ms;
    this_fiber::sleep_until(until);
    CHECK(std::chrono::system_clock::now() >= until);
    const auto steady = std::chrono::steady_clock::now() + 5ms;
    this_fiber::sleep_until(steady);
    CHECK(std::chrono::steady_clock::now() >= steady);
  });
}

TEST_CASE("timed waits: end in time on real clocks") {
  const bool in_reactor = GENERATE(false, true);
  on_thread([&] {
    if (in_reactor) open_reactor();
    coir::event e;
    coir::queue<int> q;
    const stopwatch time;
    CHECK_FALSE(e.wait_for(3ms));
    CHECK_FALSE(e.wait_until(std::chrono::system_clock::now() + 3ms));
    CHECK_FALSE(q.pop_for(3ms));
    const bool in_time = coir::with_timeout(3ms, [&] { e.wait(); });
    CHECK_FALSE(in_time);
    auto slow = coir::spawn([] { this_fiber::sleep_for(1h); });
    CHECK(coir::wait_any_for(std::vector{slow}, 3ms).empty());
    CHECK(time.elapsed() >= 14ms);
    CHECK(time.elapsed() < patience);
    slow.cancel();
    slow.join();
  });
}

TEST_CASE("deadlock: is not told while another thread could still wake someone") {
  coir::event e;
  joined_threads other;
  other.start([&] {
    std::this_thread::sleep_for(20ms);
    e.set();
  });
  on_thread([&] { coir::spawn([&] { e.wait(); }).get(); });
  CHECK(e.is_set());
}

// Calls made on helper threads.
#include <coir/coir.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE("offload: gives the result of a call on another thread, while other fibers run") {
  on_thread([] {
    std::atomic<bool> go{false};
    const auto here = std::this_thread::get_id();
    auto f = coir::spawn([&] {
      return coir::offload(
          [&](int n) {
            while (!go) std::this_thread::sleep_for(100us);
            return std::this_thread::get_id() == here ? -1 : n;
          },
          3);
    });
    for (int i = 0; i < 10; ++i) this_fiber::yield();
    CHECK_FALSE(f.ready());
    go = true;
    const int got = f.get();
    CHECK(got == 3);
  });
}

TEST_CASE("offload: results of every kind, and exceptions") {
  on_thread([] {
    coir::spawn([] {
      int variable = 1;
      CHECK(&coir::offload([&]() -> int& { return variable; }) == &variable);
      coir::offload([&] { ++variable; });
      CHECK(variable == 2);
      CHECK(*coir::offload([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(6)) == 6);
      const std::string text =
          thrown_text<std::runtime_error>([] { coir::offload([] { throw std::runtime_error("there"); }); });
      CHECK(text == "there");
    }).join();
  });
}

TEST_CASE("offload: on a thread that never used coir the call is made right there") {
  on_thread([] {
    const auto here = std::this_thread::get_id();
    CHECK(coir::offload([] { return std::this_thread::get_id(); }) == here);
    CHECK(throws<std::runtime_error>([] { coir::offload([] { throw std::runtime_error("here"); }); }));
    CHECK(coir::sched::scheduler::existing() == nullptr);
  });
}

TEST_CASE("offload: a call inside a call is made on the same helper") {
  on_thread([] {
    coir::this_fiber::yield();
    CHECK(coir::offload([] {
      const auto here = std::this_thread::get_id();
      return coir::offload([&] { return std::this_thread::get_id() == here; });
    }));
  });
}

TEST_CASE("offload: who is cancelled stays until the call is over, then hears of it") {
  on_thread([] {
    std::atomic<bool> begun{false}, go{false}, over{false};
    bool after = false;
    auto f = coir::spawn([&] {
      coir::offload([&] {
        begun = true;
        while (!go) std::this_thread::sleep_for(100us);
        over = true;
      });
      after = true;
    });
    while (!begun) this_fiber::sleep_for(100us);
    f.cancel();
    CHECK_FALSE(f.join_for(5ms));
    go = true;
    CHECK(throws<coir::cancelled>([&] { f.get(); }));
    CHECK(over);
    CHECK_FALSE(after);
  });
}

TEST_CASE("offload: who is cancelled already does not call") {
  on_thread([] {
    bool called = false;
    coir::fiber<void> f;
    f = coir::spawn([&] {
      f.cancel();
      coir::offload([&] { called = true; });
    });
    CHECK(throws<coir::cancelled>([&] { f.get(); }));
    CHECK_FALSE(called);
  });
}

TEST_CASE("offload: the call's own exception comes before the caller's timeout") {
  on_thread([] {
    auto f = coir::spawn([] {
      const coir::timeout limit(1ms);
      std::string text = thrown_text<std::runtime_error>([] {
        coir::offload([] {
          std::this_thread::sleep_for(5ms);
          throw std::runtime_error("its own");
        });
      });
      text += throws<coir::timed_out>([] { coir::offload([] {}); }) ? " then late" : "";
      return text;
    });
    const std::string text = f.get();
    CHECK(text == "its own then late");
  });
}

TEST_CASE("offload: the call sees the caller's inherited values") {
  on_thread([] {
    coir::inherited<int> value(1);
    const auto scope = value.with(2);
    CHECK(coir::offload([&] {
            const int before = *value;
            value.set(3);
            return before;
          }) == 2);
    CHECK(*value == 2);
  });
}

TEST_CASE("offload: many fibers at once, of several threads") {
  std::atomic<int> calls{0};
  joined_threads threads;
  for (int t = 0; t < 2; ++t)
    threads.start([&] {
      std::vector<coir::fiber<int>> fibers;
      for (int i = 0; i < 300; ++i)
        fibers.push_back(coir::spawn([&, i] { return coir::offload([&, i] { return ++calls, i; }); }));
      for (int i = 0; i < 300; ++i)
        if (fibers[static_cast<std::size_t>(i)].get() != i) std::abort();
    });
  threads.join();
  CHECK(calls == 600);
}

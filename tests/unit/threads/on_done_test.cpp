// Callbacks added from another thread while the fiber runs, ends, or is cancelled.
#include <coir/coir.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

constexpr int rounds = 200, fibers_each = 50;

// Spawns fibers of `work` on a thread of its own, and lets `meet` do something to each from this one
// meanwhile.
template <class Work, class Meet>
void from_afar(Work work, Meet meet) {
  for (int i = 0; i < rounds; ++i) {
    std::vector<coir::fiber<std::string>> fibers;
    std::atomic<bool> spawned{false};
    joined_threads home;
    home.start([&] {
      for (int j = 0; j < fibers_each; ++j) fibers.push_back(coir::spawn(work));
      spawned = true;
      while (coir::inspect::fiber_count() != 0) this_fiber::yield();  // without a handle of its own
    });
    while (!spawned) std::this_thread::yield();
    for (auto& f : fibers) {
      meet(f);
      f = {};
    }
  }
}

}  // namespace

TEST_CASE(
    "on_done: a callback added while the fiber ends on another thread is called once, with the result") {
  std::atomic<int> calls{0}, right{0};
  from_afar([] { return std::string(50, 'r'); },
            [&](const coir::fiber<std::string>& f) {
              f.on_done([&](const coir::fiber<std::string>& ended) {
                ++calls;
                right += ended.get() == std::string(50, 'r');
              });
            });
  CHECK(calls == rounds * fibers_each);
  CHECK(right == rounds * fibers_each);
}

TEST_CASE("on_done: a callback added while the fiber throws is called once, with the exception") {
  std::atomic<int> calls{0}, right{0};
  from_afar([]() -> std::string { throw std::runtime_error("thrown"); },
            [&](const coir::fiber<std::string>& f) {
              f.on_done([&](const coir::fiber<std::string>& ended) {
                ++calls;
                right += throws<std::runtime_error>([&] { ended.get(); });
              });
            });
  CHECK(calls == rounds * fibers_each);
  CHECK(right == rounds * fibers_each);
}

TEST_CASE("on_done: a callback added while the fiber is cancelled is called once") {
  std::atomic<int> calls{0}, right{0};
  from_afar(
      []() -> std::string {
        this_fiber::yield();
        throw coir::cancelled();
      },
      [&](const coir::fiber<std::string>& f) {
        f.on_done([&](const coir::fiber<std::string>& ended) {
          ++calls;
          right += !ended.successful();
        });
      });
  CHECK(calls == rounds * fibers_each);
  CHECK(right == rounds * fibers_each);
}

TEST_CASE("on_done: none is lost while the fiber changes what it carries") {
  unit::on_thread([] {
    int called = 0;
    constexpr int rounds = 2000;
    for (int i = 0; i < rounds; ++i) {
      coir::event over;
      auto f = coir::spawn([&] {
        while (!over.is_set()) {
          const coir::patch::scoped_off off;
          coir::this_fiber::yield();
        }
      });
      unit::joined_threads adds;
      adds.start([&] {
        f.on_done([&](const auto&) { ++called; });
        over.set();
      });
      f.join();
    }
    CHECK(called == rounds);
  });
}

#include "sched/run_queue.hpp"

#include <deque>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "sched/fiber.hpp"

using coir::sched::fiber;
using coir::sched::run_queue;

namespace {

struct fibers {
  explicit fibers(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) all.push_back(std::make_unique<fiber>());
  }
  fiber* operator[](std::size_t i) const { return all[i].get(); }
  std::vector<std::unique_ptr<fiber>> all;
};

void reserve(run_queue& q, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    q.make_room();
    q.reserve();
  }
}

}  // namespace

TEST_CASE("run_queue: first come, first served") {
  run_queue q;
  const fibers f(3);
  reserve(q, 3);
  CHECK(q.empty());
  for (std::size_t i = 0; i < 3; ++i) q.push(f[i]);
  CHECK_FALSE(q.empty());
  CHECK(q.front() == f[0]);
  CHECK(q.behind(1) == f[1]);
  CHECK(q.behind(2) == f[2]);
  for (std::size_t i = 0; i < 3; ++i) CHECK(q.pop() == f[i]);
  CHECK(q.empty());
  CHECK(q.front() == nullptr);
}

TEST_CASE("run_queue: exchange gives the first and puts one behind the last") {
  run_queue q;
  const fibers f(4);
  reserve(q, 4);
  q.push(f[0]);
  CHECK(q.exchange(f[1]) == f[0]);
  q.push(f[2]);
  CHECK(q.exchange(f[3]) == f[1]);
  CHECK(q.pop() == f[2]);
  CHECK(q.pop() == f[3]);
  CHECK(q.empty());
}

TEST_CASE("run_queue: keeps the order through growth and wrapping") {
  run_queue q;
  const fibers f(1000);
  std::deque<fiber*> model, outside;
  unsigned random = 1;
  for (std::size_t made = 0; made < 1000; ++made) {
    reserve(q, 1);  // grows now and then, with the ring wrapped somewhere
    outside.push_back(f[made]);
    for (int step = 0; step < 5; ++step) {
      random = random * 1664525 + 1013904223;
      const unsigned what = random >> 30;
      if (what == 0 && !model.empty()) {
        REQUIRE(q.pop() == model.front());
        outside.push_back(model.front());
        model.pop_front();
      } else if (what == 1 && !model.empty() && !outside.empty()) {
        REQUIRE(q.exchange(outside.front()) == model.front());
        outside.push_back(model.front());
        model.pop_front();
        model.push_back(outside.front());
        outside.pop_front();
      } else if (!outside.empty()) {
        q.push(outside.front());
        model.push_back(outside.front());
        outside.pop_front();
      }
      REQUIRE(q.empty() == model.empty());
    }
  }
  CHECK(model.size() > 500);
  for (fiber* expected : model) REQUIRE(q.pop() == expected);
  CHECK(q.empty());
}

TEST_CASE("run_queue: every reserved fiber has a place") {
  run_queue q;
  const fibers f(300);
  reserve(q, 300);
  for (std::size_t round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < 300; ++i) q.push(f[i]);
    CHECK(q.exchange(q.pop()) == f[1]);
    for (std::size_t i = 2; i < 300; ++i) REQUIRE(q.pop() == f[i]);
    CHECK(q.pop() == f[0]);
  }
}

TEST_CASE("run_queue: clear forgets all") {
  run_queue q;
  const fibers f(2);
  reserve(q, 2);
  q.push(f[0]);
  q.push(f[1]);
  q.clear();
  CHECK(q.empty());
  q.push(f[1]);
  CHECK(q.pop() == f[1]);
  CHECK(q.empty());
}

#include <coir/coir.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/sleepers.hpp"
#include "support/throws.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "pool: spawn waits for room") {
  coir::pool p(2);
  std::vector<nanoseconds> begun;
  for (int i = 0; i < 6; ++i)
    p.spawn([&] {
      begun.push_back(elapsed());
      slept(10);
    });
  p.join();
  CHECK(begun == std::vector<nanoseconds>{0ms, 0ms, 10ms, 10ms, 20ms, 20ms});
  CHECK(p.empty());
}

TEST_CASE_METHOD(virtual_time, "pool: spawn gives a handle and takes attributes and arguments") {
  coir::pool p(1);
  auto f = p.spawn(
      coir::attributes{.name = "member"}, [](int a, std::unique_ptr<int> b) { return a + *b; }, 1,
      std::make_unique<int>(2));
  CHECK(f.name() == "member");
  const int sum = f.get();
  CHECK(sum == 3);
}

TEST_CASE_METHOD(virtual_time,
                 "pool: try_spawn never waits, and leaves its arguments alone when it is full") {
  coir::pool p(1);
  auto item = std::make_unique<int>(5);
  const auto first = p.try_spawn([] { slept(1); });
  const auto refused = p.try_spawn([](std::unique_ptr<int> n) { return *n; }, std::move(item));
  CHECK(first.has_value());
  CHECK_FALSE(refused.has_value());
  REQUIRE(item != nullptr);
  p.join();
  const auto accepted = p.try_spawn([](std::unique_ptr<int> n) { return *n; }, std::move(item));
  REQUIRE(accepted.has_value());
  const int n = accepted->get();
  CHECK(n == 5);
}

TEST_CASE_METHOD(virtual_time, "pool: says how many slots are free") {
  coir::pool p(3);
  CHECK(p.capacity() == 3);
  CHECK(p.free_slots() == 3);
  p.spawn([] { slept(1); });
  p.spawn([] { slept(2); });
  CHECK(p.free_slots() == 1);
  CHECK(p.size() == 2);
  slept(1);
  this_fiber::yield();
  CHECK(p.free_slots() == 2);
  p.join();
  CHECK(p.free_slots() == 3);
}

TEST_CASE_METHOD(virtual_time, "pool: room goes to those who wait in the order of their coming") {
  coir::pool p(1);
  p.spawn([] { slept(10); });
  std::string order;
  std::vector<coir::fiber<void>> spawners;
  for (const char c : {'a', 'b', 'c'})
    spawners.push_back(coir::spawn([&, c] {
      p.spawn([&, c] {
        order += c;
        slept(1);
      });
    }));
  settle();
  CHECK_FALSE(p.try_spawn([&] { order += 'x'; }).has_value());  // nobody overtakes
  coir::wait_all(spawners);
  p.join();
  CHECK(order == "abc");
}

TEST_CASE_METHOD(virtual_time, "pool: a spawner that is cancelled or late takes no room with it") {
  coir::pool p(1);
  p.spawn([] { slept(10); });
  bool late_ran = false, second_ran = false;
  auto cancelled = coir::spawn([&] { p.spawn([&] { late_ran = true; }); });
  auto late =
      coir::spawn([&] { return coir::with_timeout(5ms, [&] { p.spawn([&] { late_ran = true; }); }); });
  auto second = coir::spawn([&] { p.spawn([&] { second_ran = true; }); });
  settle();
  cancelled.cancel();
  coir::wait_all(cancelled, second);
  const bool in_time = late.get();
  p.join();
  CHECK_FALSE(in_time);
  CHECK_FALSE(late_ran);
  CHECK(second_ran);
  CHECK(p.free_slots() == 1);
}

TEST_CASE_METHOD(virtual_time, "pool: room handed to a spawner that is then cancelled is not lost") {
  coir::pool p(1);
  auto member = p.spawn([] { slept(1); });
  auto spawner = coir::spawn([&] { p.spawn([] {}); });
  settle();
  member.on_done([&](const coir::fiber<void>&) { spawner.cancel(); });  // after the pool's own
  spawner.join();
  p.join();
  CHECK(p.free_slots() == 1);
}

TEST_CASE_METHOD(virtual_time, "pool: zero or less is an invalid argument that names it") {
  CHECK(contains(thrown_text<std::invalid_argument>([] { coir::pool p(0); }), "coir::pool: n=0"));
  CHECK(contains(thrown_text<std::invalid_argument>([] { coir::pool p(-2); }), "coir::pool: n=-2"));
  coir::pool p(1);
  CHECK(contains(thrown_text<std::invalid_argument>([&] { p.resize(0); }), "coir::pool::resize: n=0"));
  CHECK(p.capacity() == 1);
}

TEST_CASE_METHOD(virtual_time, "pool: resize up lets those in who wait, down lets those run who are in") {
  coir::pool p(1);
  int begun = 0;
  auto spawner = coir::spawn([&] {
    for (int i = 0; i < 8; ++i)
      p.spawn([&] {
        ++begun;
        slept(10);
      });
  });
  settle();
  CHECK(begun == 1);
  p.resize(4);
  settle();
  CHECK(begun == 4);
  p.resize(2);
  CHECK(p.size() == 4);
  CHECK(p.free_slots() == 0);
  slept(10);
  settle();
  CHECK(begun == 6);  // four left, two came
  spawner.join();
  p.join();
  CHECK(begun == 8);
  CHECK(elapsed() == 30ms);
}

TEST_CASE_METHOD(virtual_time, "pool: a member that spawns into its own full pool is told of the deadlock") {
  coir::pool p(1);
  std::string text;
  bool deadlock = false, spawned = false;
  auto member = p.spawn([&] {
    try {
      p.spawn([&] { spawned = true; });
    } catch (const std::system_error& e) {
      text = e.what();
      deadlock = is_deadlock(e);
    }
  });
  member.join();
  INFO(text);
  CHECK(deadlock);
  CHECK(contains(text, "n=1"));
  CHECK_FALSE(spawned);
  p.spawn([&] { spawned = true; }).join();
  CHECK(spawned);
}

TEST_CASE_METHOD(virtual_time, "pool: of members that all wait for room the last is told, the others go on") {
  coir::pool p(3);
  int told = 0, children = 0;
  for (int i = 0; i < 3; ++i)
    p.spawn([&, i] {
      slept(i);
      try {
        p.spawn([&] { ++children; });
      } catch (const std::system_error& e) {
        if (is_deadlock(e) && i == 2) ++told;
      }
    });
  p.join();
  CHECK(told == 1);
  CHECK(children == 2);
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time, "pool: members wait for room as long as one of them does something else") {
  coir::pool p(2);
  bool child_ran = false;
  p.spawn([&] { p.spawn([&] { child_ran = true; }); });
  p.spawn([] { slept(10); });
  p.join();
  CHECK(child_ran);
  CHECK(elapsed() == 10ms);
}

TEST_CASE_METHOD(virtual_time,
                 "pool: a member that waits, but is cancelled already, is no reason for a deadlock") {
  coir::pool p(2);
  bool child_ran = false;
  auto first = p.spawn([&] { p.spawn([] {}); });
  auto second = p.spawn([&] {
    slept(1);
    first.cancel();  // claimed, and has not run
    p.spawn([&] { child_ran = true; });
  });
  second.get();
  p.join();
  CHECK(child_ran);
}

TEST_CASE_METHOD(virtual_time, "pool: spawning into another full pool is no deadlock") {
  coir::pool inner(1), outer(1);
  inner.spawn([] { slept(5); });
  bool ran = false;
  outer.spawn([&] { inner.spawn([&] { ran = true; }); });
  outer.join();
  inner.join();
  CHECK(ran);
}

TEST_CASE_METHOD(virtual_time, "pool: join throws the first exception of a member, once") {
  coir::pool p(2);
  p.spawn([] { throw std::runtime_error("first"); });
  p.spawn([] {
    slept(1);
    throw std::runtime_error("second");
  });
  const std::string text = thrown_text<std::runtime_error>([&] { p.join(); });
  CHECK(text == "first");
  p.join();
}

TEST_CASE_METHOD(virtual_time, "pool: join_for says whether all ended in time") {
  coir::pool p(2);
  p.spawn([] { slept(10); });
  const bool early = p.join_for(4ms), in_time = p.join_for(10ms);
  CHECK_FALSE(early);
  CHECK(in_time);
  CHECK(throws<std::invalid_argument>([&] { p.join_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "pool: its destructor cancels those that run and waits for their ends") {
  std::string log;
  {
    coir::pool p(2);
    p.spawn([&] {
      try {
        slept(1000);
      } catch (const coir::cancelled&) {
        const this_fiber::shield clean_up;
        slept(5);
        log += "cleaned ";
        throw;
      }
    });
    this_fiber::yield();
    p.spawn([&] { log += "never "; });
  }
  log += "left";
  CHECK(log == "cleaned left");
  CHECK(elapsed() == 5ms);
}

TEST_CASE_METHOD(virtual_time, "pool: cancel ends its members, and it stays usable") {
  coir::pool p(2);
  int ended = 0;
  for (int i = 0; i < 2; ++i)
    p.spawn([&] {
      try {
        slept(1000);
      } catch (const coir::cancelled&) {
        ++ended;
        throw;
      }
    });
  this_fiber::yield();
  const bool in_time = p.cancel_for(1ms);
  CHECK(in_time);
  CHECK(ended == 2);
  const int n = p.spawn([] { return 4; }).get();
  CHECK(n == 4);
}

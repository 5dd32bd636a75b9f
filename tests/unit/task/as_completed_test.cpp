#include <coir/coir.hpp>

#include <list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/sanitized.hpp"
#include "support/sleepers.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "as_completed: gives the handles in the order of ending, each at its time") {
  const std::vector<coir::fiber<int>> fibers = {after(30), after(10), after(20)};
  std::vector<int> order;
  for (const auto& f : coir::as_completed(fibers)) {
    order.push_back(f.get());
    CHECK(elapsed() == std::chrono::milliseconds(f.get()));
  }
  CHECK(order == std::vector{10, 20, 30});
}

TEST_CASE_METHOD(virtual_time, "as_completed: some are done already, some throw, some repeat") {
  const auto done = after(0), slow = after(30), broken = fails_after(10);
  done.join();
  std::string log;
  for (const auto& f : coir::as_completed(std::list{slow, done, broken, slow, done})) {
    if (f == done) log += "done ";
    if (f == slow) log += "slow ";
    if (f == broken) log += thrown_text<std::runtime_error>([&] { f.get(); }) + " ";
  }
  CHECK(log == "done after 10 slow ");
  CHECK(elapsed() == 30ms);
}

TEST_CASE_METHOD(virtual_time, "as_completed: those done before come first, in the order of the range") {
  const auto a = after(2), b = after(1), c = after(5);
  coir::wait_all(a, b);
  std::vector<int> order;
  for (const auto& f : coir::as_completed(std::vector{c, a, b})) order.push_back(f.get());
  CHECK(order == std::vector{2, 1, 5});
}

TEST_CASE_METHOD(virtual_time, "as_completed: of nothing is empty, and next stays empty at the end") {
  CHECK_FALSE(coir::as_completed(std::vector<coir::fiber<int>>()).next().has_value());
  auto all = coir::as_completed(std::vector{after(1)});
  CHECK(all.size() == 1);
  CHECK(all.next().has_value());
  CHECK(all.empty());
  CHECK_FALSE(all.next().has_value());
  CHECK_FALSE(all.next_for(1h).has_value());
  CHECK(elapsed() == 1ms);
}

TEST_CASE_METHOD(virtual_time,
                 "as_completed: next_for is empty when its time has passed, and goes on after it") {
  auto all = coir::as_completed(std::vector{after(10), after(3)});
  const auto first = all.next_for(5ms);
  const auto late = all.next_for(5ms);
  CHECK(first.has_value());
  CHECK_FALSE(late.has_value());
  CHECK(elapsed() == 8ms);
  const auto second = all.next_for(5ms);
  REQUIRE(second.has_value());
  CHECK(second->get() == 10);
  const std::string text = thrown_text<std::invalid_argument>([&] { all.next_for(-1s); });
  CHECK(text.find("next_for") != std::string::npos);
}

TEST_CASE_METHOD(virtual_time, "as_completed: left early, it leaves nothing on the fibers, which run on") {
  const std::vector<coir::fiber<int>> fibers = {after(10), after(20), after(30)};
  for (const auto& f : coir::as_completed(fibers)) {
    CHECK(f.get() == 10);
    break;
  }
  CHECK(elapsed() == 10ms);
  // A link that had stayed would be before this one, and hold the number one.
  CHECK(fibers[2].on_done([](const coir::fiber<int>&) {}) == 2);
  CHECK_FALSE(fibers[2].remove_on_done(1));
  coir::wait_all(fibers);
  CHECK(elapsed() == 30ms);
}

TEST_CASE_METHOD(virtual_time, "as_completed: can be interrupted, and next goes on where it was") {
  auto all = coir::as_completed(std::vector{after(10), after(20)});
  bool interrupted = false;
  auto user = coir::spawn([&] {
    interrupted = !coir::with_timeout(5ms, [&] { all.next(); });
    std::vector<int> order;
    while (const auto f = all.next()) order.push_back(f->get());
    return order;
  });
  const std::vector<int> order = user.get();
  CHECK(interrupted);
  CHECK(order == std::vector{10, 20});
}

TEST_CASE_METHOD(virtual_time, "as_completed: a cancelled user leaves nothing behind") {
  const std::vector<coir::fiber<int>> fibers = {after(10), after(20)};
  auto user = coir::spawn([&] {
    for (const auto& f : coir::as_completed(fibers)) f.get();
  });
  settle();
  user.cancel();
  CHECK(throws<coir::cancelled>([&] { user.get(); }));
  CHECK_FALSE(fibers[0].remove_on_done(1));
  coir::wait_all(fibers);
}

TEST_CASE_METHOD(virtual_time, "as_completed: a handle of no fiber is a logic error") {
  const std::vector<coir::fiber<int>> fibers = {after(1), coir::fiber<int>()};
  CHECK(throws<std::logic_error>([&] { coir::as_completed(fibers); }));
  CHECK_FALSE(fibers[0].remove_on_done(1));
  fibers[0].join();
}

TEST_CASE_METHOD(virtual_time,
                 "as_completed: the range may be moved, and refers to no vector of the caller's") {
  std::optional<coir::completions<coir::fiber<int>>> kept;
  {
    std::vector<coir::fiber<int>> fibers = {after(2), after(1)};
    kept = coir::as_completed(fibers);
  }
  std::vector<int> order;
  for (const auto& f : *kept) order.push_back(f.get());
  CHECK(order == std::vector{1, 2});
}

TEST_CASE_METHOD(virtual_time, "as_completed: ten thousand fibers, in order") {
  std::vector<coir::fiber<int>> fibers;
  for (int i = 0; i < fibers_at_once(10'000); ++i) fibers.push_back(after(i * 7919 % 10'007));
  int last = -1, wrong = 0;
  for (const auto& f : coir::as_completed(fibers)) {
    if (f.get() <= last) ++wrong;
    last = f.get();
  }
  CHECK(wrong == 0);
}

// Many fibers at once: gather, wait_any, wait_all, cancel_all.
#include <coir/coir.hpp>

#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "support/sleepers.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

std::vector<int> results(const std::vector<coir::fiber<int>>& fibers) {
  std::vector<int> values;
  for (const auto& f : fibers) values.push_back(f.get());
  return values;
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "gather: gives the results in the order of asking, after the slowest") {
  const std::vector<coir::fiber<int>> fibers = {after(30), after(10), after(20)};
  const std::vector<int> values = coir::gather(fibers);
  CHECK(values == std::vector{30, 10, 20});
  CHECK(elapsed() == 30ms);
}

TEST_CASE_METHOD(virtual_time, "gather: a mixed set gives a tuple without the void ones") {
  auto text = coir::spawn([] { return std::string("text"); });
  auto nothing = coir::spawn([] { this_fiber::sleep_for(2ms); });
  const auto values = coir::gather(after(1), nothing, text);
  static_assert(std::is_same_v<decltype(values), const std::tuple<int, std::string>>);
  CHECK(values == std::tuple(1, std::string("text")));
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time, "gather: takes any range, also of void fibers and of none") {
  std::list<coir::fiber<void>> fibers;
  int ended = 0;
  for (int i = 0; i < 5; ++i)
    fibers.push_back(coir::spawn([&] {
      this_fiber::sleep_for(1ms);
      ++ended;
    }));
  coir::gather(fibers);
  CHECK(ended == 5);
  const std::vector<int> none = coir::gather(std::vector<coir::fiber<int>>());
  CHECK(none.empty());
}

TEST_CASE_METHOD(virtual_time,
                 "gather: rethrows the first exception in time, at once, and the others run on") {
  const std::vector<coir::fiber<int>> fibers = {after(30), fails_after(20), fails_after(10), after(5)};
  const std::string text = thrown_text<std::runtime_error>([&] { coir::gather(fibers); });
  CHECK(text == "after 10");
  CHECK(elapsed() == 10ms);
  CHECK(fibers[3].ready());
  CHECK_FALSE(fibers[0].ready());
  const int slowest = fibers[0].get();
  CHECK(slowest == 30);
  CHECK(fibers[1].exception() != nullptr);
}

TEST_CASE_METHOD(virtual_time, "gather: of single fibers rethrows the first exception in time too") {
  auto slow = after(30);
  auto later = fails_after(20), sooner = fails_after(10);
  const std::string text = thrown_text<std::runtime_error>([&] { coir::gather(slow, later, sooner); });
  CHECK(text == "after 10");
  CHECK(elapsed() == 10ms);
  coir::wait_all(slow, later);
  CHECK(later.exception() != nullptr);
}

TEST_CASE_METHOD(virtual_time, "gather: a cancelled child is rethrown as cancelled") {
  auto a = after(10);
  auto b = after(20);
  this_fiber::yield();
  a.cancel();
  CHECK(throws<coir::cancelled>([&] { coir::gather(a, b); }));
  b.join();
}

TEST_CASE_METHOD(virtual_time, "gather: can be interrupted, and leaves the fibers running") {
  std::vector<coir::fiber<int>> fibers = {after(10), after(20)};
  auto waiter = coir::spawn([&] { coir::gather(fibers); });
  this_fiber::sleep_for(1ms);
  waiter.cancel();
  CHECK(throws<coir::cancelled>([&] { waiter.get(); }));
  CHECK(elapsed() == 1ms);
  coir::wait_all(fibers);
  CHECK(elapsed() == 20ms);
}

TEST_CASE_METHOD(virtual_time, "wait_any: returns those that ended first, in the order of ending") {
  const std::vector<coir::fiber<int>> fibers = {after(30), after(10), after(20)};
  CHECK(results(coir::wait_any(fibers)) == std::vector{10});
  CHECK(elapsed() == 10ms);
  CHECK(results(coir::wait_any(fibers, 2)) == std::vector{10, 20});
  CHECK(elapsed() == 20ms);
  CHECK(results(coir::wait_any(fibers, 100)) == std::vector{10, 20, 30});
  CHECK(elapsed() == 30ms);
}

TEST_CASE_METHOD(virtual_time, "wait_any: zero of them, or of nothing, waits for nothing") {
  const std::vector<coir::fiber<int>> fibers = {after(1)};
  CHECK(coir::wait_any(fibers, 0).empty());
  CHECK(coir::wait_any(std::vector<coir::fiber<int>>()).empty());
  CHECK(elapsed() == 0ms);
  coir::wait_all(fibers);
}

TEST_CASE_METHOD(virtual_time, "wait_any: does not throw what a fiber threw") {
  const std::vector<coir::fiber<int>> fibers = {after(30), fails_after(10)};
  const auto ended = coir::wait_any(fibers);
  REQUIRE(ended.size() == 1);
  CHECK(ended[0] == fibers[1]);
  CHECK(ended[0].exception() != nullptr);
  fibers[0].join();
}

TEST_CASE_METHOD(virtual_time, "wait_any: a handle of no fiber is a logic error") {
  const std::vector<coir::fiber<int>> fibers = {after(1), coir::fiber<int>()};
  CHECK(throws<std::logic_error>([&] { coir::wait_any(fibers); }));
  CHECK(throws<std::logic_error>([&] { coir::gather(fibers); }));
  CHECK(throws<std::logic_error>([&] { coir::wait_all(fibers); }));
  fibers[0].join();
}

TEST_CASE_METHOD(virtual_time, "wait_any_for: returns those that ended in time") {
  const std::vector<coir::fiber<int>> fibers = {after(30), after(10), after(20)};
  const auto ended = results(coir::wait_any_for(fibers, 25ms, 3));
  CHECK(ended == std::vector{10, 20});
  CHECK(elapsed() == 25ms);
  const auto none = coir::wait_any_for(std::vector{fibers[0]}, 0ms);
  CHECK(none.empty());
  CHECK(throws<std::invalid_argument>([&] { coir::wait_any_for(fibers, -1ms); }));
  coir::wait_all(fibers);
}

TEST_CASE_METHOD(virtual_time, "wait_all: waits for every one in whatever way it ends") {
  const std::vector<coir::fiber<int>> fibers = {after(10), fails_after(20), after(5)};
  coir::wait_all(fibers);
  CHECK(elapsed() == 20ms);
  CHECK(fibers[1].exception() != nullptr);
  coir::wait_all(std::vector<coir::fiber<int>>());
  coir::wait_all();
}

TEST_CASE_METHOD(virtual_time, "wait_all_for: says whether all ended in time") {
  const std::vector<coir::fiber<int>> fibers = {after(10), after(20)};
  const bool early = coir::wait_all_for(fibers, 15ms);
  CHECK_FALSE(early);
  CHECK(elapsed() == 15ms);
  const bool in_time = coir::wait_all_for(fibers, 6ms);
  CHECK(in_time);
  CHECK(throws<std::invalid_argument>([&] { coir::wait_all_for(fibers, -1ms); }));
}

TEST_CASE_METHOD(virtual_time, "wait_all_for: a handle of no fiber is a logic error") {
  CHECK(throws<std::logic_error>([] { coir::wait_all_for(std::vector<coir::fiber<int>>(1), 1ms); }));
}

TEST_CASE_METHOD(virtual_time, "cancel_all: cancels every fiber of a range, and does not wait") {
  const std::vector<coir::fiber<int>> fibers = {after(10), after(20), after(30)};
  this_fiber::yield();
  coir::cancel_all(fibers);
  CHECK_FALSE(fibers[0].ready());
  coir::wait_all(fibers);
  for (const auto& f : fibers) CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "cancel_all_for: says whether all have ended in time, cleaning up included") {
  std::vector<coir::fiber<void>> fibers;
  for (const auto clean_up_time : {1ms, 5ms, 20ms})
    fibers.push_back(coir::spawn([clean_up_time] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        const this_fiber::shield clean_up;
        this_fiber::sleep_for(clean_up_time);
      }
    }));
  this_fiber::yield();
  const bool early = coir::cancel_all_for(fibers, 10ms);
  CHECK_FALSE(early);
  CHECK(elapsed() == 10ms);
  CHECK(fibers[1].ready());
  const bool in_time = coir::cancel_all_for(fibers, 15ms);
  CHECK(in_time);
  CHECK(elapsed() == 20ms);
}

TEST_CASE_METHOD(virtual_time, "cancel_all_for: a negative time cancels nothing") {
  const std::vector<coir::fiber<int>> fibers = {after(1)};
  CHECK(throws<std::invalid_argument>([&] { coir::cancel_all_for(fibers, -1ms); }));
  CHECK(fibers[0].get() == 1);
}

TEST_CASE_METHOD(virtual_time, "gather: moves results out that cannot be copied") {
  std::vector<coir::fiber<std::unique_ptr<int>>> fibers;
  for (int i = 0; i < 3; ++i) fibers.push_back(coir::spawn([i] { return std::make_unique<int>(i); }));
  const std::vector<std::unique_ptr<int>> all = coir::gather(fibers);
  REQUIRE(all.size() == 3);
  CHECK(*all[0] + *all[1] + *all[2] == 3);

  coir::promise<std::unique_ptr<int>> p;
  p.set_value(std::make_unique<int>(4));
  const auto [a, b] = coir::gather(coir::spawn([] { return std::make_unique<int>(5); }), p.get_future());
  CHECK(*a + *b == 9);
}

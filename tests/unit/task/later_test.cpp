// Fibers that begin later, and again and again.
#include <coir/coir.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time,
                 "spawn_later: calls the function when the time has passed, counted from the call") {
  auto f = coir::spawn_later(
      5ms, [this](int a, std::string b) { return b + std::to_string(a) + std::to_string(elapsed().count()); },
      7, "x");
  compute(2ms);
  const std::string result = f.get();
  CHECK(result == "x75000000");
}

TEST_CASE_METHOD(virtual_time,
                 "spawn_later: zero is like spawn, negative an invalid argument that names it") {
  const int result = coir::spawn_later(0s, [] { return 3; }).get();
  CHECK(result == 3);
  CHECK(elapsed() == 0s);
  const std::string text = thrown_text<std::invalid_argument>([] { coir::spawn_later(-2s, [] {}); });
  INFO(text);
  CHECK(contains(text, "coir::spawn_later"));
  CHECK(contains(text, "-2"));
}

TEST_CASE_METHOD(virtual_time, "spawn_later: cancelled before its time it never runs, and its links fire") {
  const bool waits_already = GENERATE(false, true);
  bool ran = false, linked = false;
  auto token = std::make_shared<int>(0);
  auto f = coir::spawn_later(5ms, [&ran, token] { ran = true; });
  f.on_done([&](const coir::fiber<void>& ended) { linked = !ended.successful(); });
  if (waits_already) this_fiber::sleep_for(1ms);
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK_FALSE(ran);
  CHECK(linked);
  CHECK(token.use_count() == 1);
  CHECK(elapsed() < 5ms);
}

TEST_CASE_METHOD(virtual_time, "spawn_later: moves what can only be moved") {
  auto f = coir::spawn_later(
      1ms, [](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(4));
  const int result = f.get();
  CHECK(result == 4);
}

TEST_CASE_METHOD(virtual_time, "spawn_every: ticks without drift") {
  std::vector<nanoseconds> ticks;
  auto f = coir::spawn_every(10ms, [&] {
    ticks.push_back(elapsed());
    this_fiber::sleep_for(std::chrono::milliseconds(ticks.size() % 4));
  });
  this_fiber::sleep_for(105ms);
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  REQUIRE(ticks.size() == 10);
  for (std::size_t i = 0; i < ticks.size(); ++i) CHECK(ticks[i] == 10ms * (i + 1));
}

TEST_CASE_METHOD(virtual_time, "spawn_every: times missed meanwhile are left out") {
  std::vector<nanoseconds> ticks;
  auto f = coir::spawn_every(10ms, [&] {
    ticks.push_back(elapsed());
    if (ticks.size() == 2) compute(35ms);  // until 55
    if (ticks.size() == 3) compute(10ms);  // exactly until the next: that is not missed
  });
  this_fiber::sleep_for(85ms);
  f.cancel();
  f.join();
  CHECK(ticks == std::vector<nanoseconds>{10ms, 20ms, 60ms, 70ms, 80ms});
}

TEST_CASE_METHOD(virtual_time, "spawn_every: an exception ends it, and is kept") {
  int ticks = 0;
  auto f = coir::spawn_every(1ms, [&] {
    if (++ticks == 3) throw std::runtime_error("third");
  });
  const std::string text = thrown_text<std::runtime_error>([&] { f.get(); });
  CHECK(text == "third");
  CHECK(elapsed() == 3ms);
  this_fiber::sleep_for(5ms);
  CHECK(ticks == 3);
}

TEST_CASE_METHOD(virtual_time, "spawn_every: a period of zero or less is an invalid argument that names it") {
  const std::string zero = thrown_text<std::invalid_argument>([] { coir::spawn_every(0s, [] {}); });
  const std::string negative = thrown_text<std::invalid_argument>([] { coir::spawn_every(-1s, [] {}); });
  CHECK(contains(zero, "period=0"));
  CHECK(contains(negative, "coir::spawn_every"));
  CHECK(contains(negative, "-1"));
}

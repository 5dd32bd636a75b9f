#include <coir/coir.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "support/sleepers.hpp"
#include "support/throws.hpp"
#include "support/virtual_time.hpp"

using namespace unit;

TEST_CASE_METHOD(virtual_time, "pool: map shares its room with what is spawned into it") {
  coir::pool p(3);
  p.spawn([] { slept(15); });
  int now = 0, most = 0;
  const std::vector<int> items = {1, 2, 3, 4, 5, 6};
  std::vector<int> results;
  for (const int r : p.map(items, [&](int i) {
         most = std::max(most, ++now);
         slept(10);
         --now;
         return i;
       })) {
    results.push_back(r);
    if (elapsed() < 15ms) CHECK(p.size() <= 3);
  }
  CHECK(results == items);
  CHECK(most == 3);
  CHECK(elapsed() == 30ms);  // 2 from 0, 2 from 10, 1 from 15, 1 from 20
  CHECK(p.empty());
}

TEST_CASE_METHOD(virtual_time, "pool: map_unordered gives results as they come") {
  coir::pool p(2);
  std::vector<int> order;
  for (const int r : p.map_unordered(std::vector{9, 2, 3}, [](int i) { return slept(i), i; }))
    order.push_back(r);
  CHECK(order == std::vector{2, 3, 9});
}

TEST_CASE_METHOD(virtual_time, "pool: an idle mapping holds no room") {
  coir::pool p(1);
  auto results = p.map(std::vector{1, 2, 3, 4, 5}, [](int i) { return i; });
  CHECK(results.next() == 1);
  settle();  // its window is full
  CHECK(p.free_slots() == 1);
  p.spawn([] { slept(1); });
  p.join();
  CHECK(results.next() == 2);
}

TEST_CASE_METHOD(virtual_time, "pool: a resize upwards reaches a mapping whose calls all wait") {
  for (const bool asks : {true, false}) {
    coir::pool p(1);
    const auto began = elapsed();
    int now = 0, most = 0;
    auto results = p.map(std::vector<int>(9, 0), [&](int) {
      most = std::max(most, ++now);
      slept(10);
      --now;
      return 0;
    });
    coir::fiber<void> consumer = coir::spawn([&] {
      results.next();
      if (!asks) slept(1);
      while (results.next()) {
      }
    });
    slept(asks ? 1 : 11);
    p.resize(4);
    settle();
    CHECK(now == 4);
    consumer.join();
    CHECK(most == 4);
    CHECK(elapsed() - began <= 50ms);
  }
}

TEST_CASE_METHOD(virtual_time, "pool: a resize is felt by a mapping that runs") {
  coir::pool p(1);
  int now = 0, most = 0;
  auto results = p.map_unordered(std::vector<int>(20, 0), [&](int i) {
    most = std::max(most, ++now);
    slept(1);
    --now;
    return i;
  });
  for (int i = 0; i < 5; ++i) results.next();
  CHECK(most == 1);
  p.resize(4);
  while (results.next()) continue;
  CHECK(most == 4);
}

TEST_CASE_METHOD(virtual_time, "pool: cancel ends the items in work, and the rest go on") {
  coir::pool p(2);
  std::string log;
  auto consumer = coir::spawn([&] {
    auto results = p.map(std::vector{1000, 1000, 1, 2}, [](int i) { return slept(i), i; });
    for (bool more = true; more;) {
      try {
        const auto r = results.next();
        more = r.has_value();
        log += more ? std::to_string(*r) : ".";
      } catch (const coir::cancelled&) {
        log += 'c';
      }
    }
  });
  settle();
  p.cancel();
  consumer.join();
  CHECK(log == "cc12.");
  CHECK(p.empty());
}

TEST_CASE_METHOD(virtual_time, "pool: a map nested in a full pool is told of the deadlock") {
  coir::pool p(2);
  int told = 0, results = 0;
  const auto outer = [&](int) {
    slept(1);
    auto inner = p.map(std::vector{1, 2}, [](int i) { return slept(i), i; });
    for (bool more = true; more;) {
      try {
        more = inner.next().has_value();
        results += more;
      } catch (const std::system_error& e) {
        told += is_deadlock(e);
      }
    }
    return 0;
  };
  auto all = p.map(std::vector{1, 2}, outer);
  while (all.next()) continue;
  CHECK(told >= 1);
  CHECK(told + results == 4);
  CHECK(p.empty());
}

TEST_CASE_METHOD(virtual_time, "pool: a map nested in a pool that has room works") {
  coir::pool p(3);
  int sum = 0;
  const auto outer = [&](int i) {
    int inner = 0;
    for (const int r : p.map(std::vector{1, 2, 3}, [](int n) { return slept(n), n; })) inner += r;
    return i * inner;
  };
  for (const int r : p.map_unordered(std::vector{1, 10}, outer)) sum += r;
  CHECK(sum == 66);
}

TEST_CASE_METHOD(virtual_time, "pool: a mapping that outlives it says so once it has given what it has") {
  auto p = std::make_unique<coir::pool>(1);
  auto results = p->map(std::vector{1, 2, 3, 4, 5}, [](int i) { return i; });
  CHECK(results.next() == 1);
  settle();
  p.reset();
  int left = 0;
  const std::string text = thrown_text<std::logic_error>([&] {
    while (results.next()) ++left;
  });
  INFO(text);
  CHECK(text.find("after the end of its pool") != std::string::npos);
  CHECK(left < 4);
  CHECK_FALSE(results.next());
}

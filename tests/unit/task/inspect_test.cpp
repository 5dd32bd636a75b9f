#include <coir/coir.hpp>

#include <string>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "inspect: the dump has a line for each fiber with name, state and reason") {
  coir::event gate;
  coir::queue<int> queue;
  auto a = coir::spawn(coir::attributes{.name = "waits"}, [&] { gate.wait(); });
  auto b = coir::spawn(coir::attributes{.name = "pops"}, [&] { queue.pop(); });
  auto c = coir::spawn(coir::attributes{.name = "sleeps"}, [] { this_fiber::sleep_for(1s); });
  this_fiber::yield();
  auto d = coir::spawn(coir::attributes{.name = "new"}, [] {});
  const std::string text = coir::inspect::dump();
  INFO(text);
  CHECK(contains(text, "\"main\" running"));
  CHECK(contains(text, "#" + std::to_string(a.id()) + " \"waits\" parked in event, spawned at "));
  CHECK(contains(text, "\"pops\" parked in queue pop"));
  CHECK(contains(text, "\"sleeps\" parked in sleep"));
  CHECK(contains(text, "\"new\" ready"));
  gate.set();
  queue.close();
  coir::wait_all(a, b, c, d);
  CHECK_FALSE(contains(coir::inspect::dump(), "waits"));
}

TEST_CASE_METHOD(virtual_time, "inspect: counts the fibers that have not ended") {
  CHECK(coir::inspect::fiber_count() == 0);
  coir::event gate;
  auto f = coir::spawn([&] { gate.wait(); });
  auto g = coir::spawn([] {});
  CHECK(coir::inspect::fiber_count() == 2);
  g.join();
  CHECK(coir::inspect::fiber_count() == 1);
  gate.set();
  f.join();
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time, "inspect: names the reactor") {
  CHECK(std::string(coir::inspect::reactor_name()) == "manual");
}

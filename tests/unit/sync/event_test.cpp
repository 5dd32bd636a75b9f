#include <coir/coir.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "event: set wakes all who wait, and those who come later do not wait") {
  coir::event e;
  int woken = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 5; ++i)
    fibers.push_back(coir::spawn([&] {
      e.wait();
      ++woken;
    }));
  settle();
  CHECK(woken == 0);
  CHECK_FALSE(e.is_set());
  e.set();
  CHECK(e.is_set());
  coir::wait_all(fibers);
  CHECK(woken == 5);
  e.wait();
  CHECK(e.wait_for(0ms));
  e.set();
}

TEST_CASE_METHOD(virtual_time, "event: a reset right after set wakes all the same") {
  coir::event e;
  int woken = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 5; ++i)
    fibers.push_back(coir::spawn([&] {
      e.wait();
      ++woken;
    }));
  settle();
  e.set();
  e.reset();
  CHECK_FALSE(e.is_set());
  auto late = coir::spawn([&] { return e.wait_for(1ms); });
  coir::wait_all(fibers);
  CHECK(woken == 5);
  const bool set_again = late.get();
  CHECK_FALSE(set_again);
}

TEST_CASE_METHOD(virtual_time, "event: timed waits say whether it was set in time") {
  coir::event e;
  CHECK_FALSE(e.wait_for(2ms));
  CHECK(elapsed() == 2ms);
  CHECK_FALSE(e.wait_until(time_source::now() + 1ms));
  CHECK_FALSE(e.wait_until(time_source::now() - 1h));
  CHECK(elapsed() == 3ms);
  auto setter = coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    e.set();
  });
  const bool in_time = e.wait_for(1h);
  CHECK(in_time);
  CHECK(elapsed() == 4ms);
  CHECK(throws<std::invalid_argument>([&] { e.wait_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "event: set at the moment of the deadline, one of the two wins, for good") {
  coir::event e;
  auto setter = coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    e.set();
  });
  auto waiter = coir::spawn([&] { return e.wait_for(1ms); });
  const bool result = waiter.get();
  setter.join();
  CHECK(e.is_set());
  CHECK((result == true || result == false));
  CHECK(elapsed() == 1ms);
}

TEST_CASE_METHOD(virtual_time, "event: may be destroyed by the one it woke") {
  auto e = std::make_unique<coir::event>();
  auto waiter = coir::spawn([&] {
    e->wait();
    e.reset();
  });
  settle();
  e->set();
  waiter.join();
  CHECK(e == nullptr);
}

TEST_CASE_METHOD(virtual_time, "event: a callback that waits for it sees its present state") {
  coir::event e;
  std::string seen;
  const auto look = [&](const auto&) {
    if (e.is_set()) e.wait();  // returns at once
    seen += coir::select(coir::on_set(e), coir::otherwise()) == 0 ? '1' : '0';
  };
  auto setter = coir::spawn([&] { e.set(); });
  setter.on_done(look);
  setter.join();
  auto resetter = coir::spawn([&] {
    e.set();
    e.reset();
  });
  resetter.on_done(look);
  resetter.join();
  settle();
  CHECK(seen == "10");
}

#include <coir/coir.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "latch: opens when it was counted down to zero, for good") {
  coir::latch l(3);
  int through = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 4; ++i)
    fibers.push_back(coir::spawn([&] {
      l.wait();
      ++through;
    }));
  settle();
  l.count_down();
  CHECK_FALSE(l.try_wait());
  settle();
  CHECK(through == 0);
  l.count_down(2);
  CHECK(l.try_wait());
  coir::wait_all(fibers);
  CHECK(through == 4);
  l.wait();
  CHECK(coir::latch(0).try_wait());
}

TEST_CASE_METHOD(virtual_time, "latch: arrive_and_wait lets all on together") {
  coir::latch l(3);
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 3; ++i)
    fibers.push_back(coir::spawn([&, i] {
      this_fiber::sleep_for(i * 1ms);
      l.arrive_and_wait();
      CHECK(elapsed() == 2ms);
    }));
  coir::gather(fibers);
}

TEST_CASE_METHOD(virtual_time, "latch: what a cancelled one has counted stays counted") {
  coir::latch l(2);
  auto doomed = coir::spawn([&] { l.arrive_and_wait(); });
  settle();
  doomed.cancel();
  doomed.join();
  CHECK_FALSE(doomed.successful());
  l.arrive_and_wait();
}

TEST_CASE_METHOD(virtual_time, "latch: timed waits end at their time") {
  coir::latch l(1);
  CHECK_FALSE(l.wait_for(1ms));
  CHECK_FALSE(l.wait_until(time_source::now() + 1ms));
  CHECK(elapsed() == 2ms);
  CHECK(throws<std::invalid_argument>([&] { l.wait_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "latch: impossible counts are invalid arguments") {
  CHECK(contains(thrown_text<std::invalid_argument>([] { coir::latch l(-1); }), "expected=-1"));
  coir::latch l(2);
  CHECK(contains(thrown_text<std::invalid_argument>([&] { l.count_down(-1); }), "n=-1"));
  CHECK(contains(thrown_text<std::invalid_argument>([&] { l.count_down(3); }), "n=3"));
  l.count_down(0);
  l.count_down(2);
  CHECK(l.try_wait());
}

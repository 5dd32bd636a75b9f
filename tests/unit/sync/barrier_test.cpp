#include <coir/coir.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "barrier: all wait for the last, phase after phase") {
  std::string order;
  coir::barrier b(3, [&order]() noexcept { order += '|'; });
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 3; ++i)
    fibers.push_back(coir::spawn([&, i] {
      for (int phase = 0; phase < 3; ++phase) {
        this_fiber::sleep_for((i + 1) * 1ms);
        order += static_cast<char>('a' + i);
        b.arrive_and_wait();
      }
    }));
  coir::gather(fibers);
  CHECK(order == "abc|abc|abc|");
  CHECK(elapsed() == 9ms);
}

TEST_CASE_METHOD(virtual_time,
                 "barrier: the completion function runs before anybody goes on, and may suspend") {
  bool completed = false;
  coir::barrier b(2, [&completed]() noexcept {
    this_fiber::sleep_for(1ms);
    completed = true;
  });
  auto other = coir::spawn([&] {
    b.arrive_and_wait();
    return completed;
  });
  b.arrive_and_wait();
  CHECK(completed);
  const bool seen = other.get();
  CHECK(seen);
}

TEST_CASE_METHOD(virtual_time, "barrier: arriving and waiting may be done apart") {
  coir::barrier b(3);
  auto first = b.arrive(2);
  auto waiter = coir::spawn([&] { b.wait(std::move(first)); });
  settle();
  CHECK_FALSE(waiter.ready());
  auto last = b.arrive();
  b.wait(std::move(last));  // that phase has ended
  waiter.join();
}

TEST_CASE_METHOD(virtual_time, "barrier: who drops out is not expected any more") {
  coir::barrier b(3);
  auto other = coir::spawn([&] {
    b.arrive_and_wait();
    b.arrive_and_wait();
  });
  settle();
  b.arrive_and_drop();
  b.arrive_and_wait();
  b.arrive_and_wait();
  other.join();
}

TEST_CASE_METHOD(virtual_time, "barrier: an interrupted arrive_and_wait takes its arrival back") {
  coir::barrier b(2);
  auto doomed = coir::spawn([&] {
    try {
      b.arrive_and_wait();
    } catch (const coir::cancelled&) {
      this_fiber::shield cleaning;
      this_fiber::sleep_for(1ms);
      b.arrive_and_drop();
      throw;
    }
  });
  settle();
  doomed.cancel();
  settle();
  CHECK_FALSE(b.arrive_and_wait_for(500us));
  CHECK_FALSE(b.arrive_and_wait_until(time_source::now() + 100us));
  b.arrive_and_wait();
  CHECK(elapsed() == 1ms);
  b.arrive_and_wait();  // alone from now on
  doomed.join();
}

TEST_CASE_METHOD(virtual_time, "barrier: an arrival before a cancelled wait stays counted") {
  coir::barrier b(2);
  auto doomed = coir::spawn([&] { b.wait(b.arrive()); });
  settle();
  doomed.cancel();
  doomed.join();
  CHECK_FALSE(doomed.successful());
  b.arrive_and_wait();
}

TEST_CASE_METHOD(virtual_time,
                 "barrier: one cancelled as the phase ends goes on, and hears of it at its next wait") {
  coir::event complete;
  coir::barrier b(2, [&complete]() noexcept { complete.wait(); });
  bool passed = false, told = false;
  auto f = coir::spawn([&] {
    b.arrive_and_wait();
    passed = true;
    told = throws<coir::cancelled>([] { this_fiber::yield(); });
  });
  auto last = coir::spawn([&] { b.arrive_and_wait(); });
  settle();
  f.cancel();
  settle();
  CHECK_FALSE(passed);
  complete.set();
  coir::wait_all(f, last);
  CHECK(passed);
  CHECK(told);
}

TEST_CASE_METHOD(virtual_time, "barrier: impossible counts are invalid arguments") {
  CHECK(contains(thrown_text<std::invalid_argument>([] { coir::barrier b(-1); }), "expected=-1"));
  coir::barrier b(2);
  CHECK(contains(thrown_text<std::invalid_argument>([&] { (void)b.arrive(0); }), "n=0"));
  CHECK(contains(thrown_text<std::invalid_argument>([&] { (void)b.arrive(3); }), "n=3"));
  CHECK(throws<std::invalid_argument>([&] { b.arrive_and_wait_for(-1ms); }));
  coir::barrier none(0);
  CHECK(throws<std::invalid_argument>([&] { none.arrive_and_wait(); }));
  CHECK(throws<std::invalid_argument>([&] { none.arrive_and_drop(); }));
}

TEST_CASE_METHOD(virtual_time,
                 "barrier: the completion function may wait although the last to arrive is cancelled") {
  bool completed = false;
  coir::barrier b(1, [&]() noexcept {
    coir::this_fiber::sleep_for(std::chrono::milliseconds(20));
    completed = true;
  });
  auto f = coir::spawn([&] { static_cast<void>(b.arrive()); });
  auto late = coir::spawn([&] { f.cancel(); });
  coir::this_fiber::yield();
  f.join();
  CHECK(completed);
}

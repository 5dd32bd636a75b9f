#include <coir/coir.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "semaphore: lets as many in as it has permits") {
  coir::semaphore s(3);
  int inside = 0, most = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 10; ++i)
    fibers.push_back(coir::spawn([&] {
      s.acquire();
      most = std::max(most, ++inside);
      this_fiber::sleep_for(1ms);
      --inside;
      s.release();
    }));
  coir::wait_all(fibers);
  CHECK(most == 3);
  CHECK(elapsed() == 4ms);
  CHECK(s.available() == 3);
}

TEST_CASE_METHOD(virtual_time, "semaphore: permits go to the longest waiting, nobody overtakes") {
  coir::semaphore s(0);
  std::string order;
  std::vector<coir::fiber<void>> fibers;
  for (const char name : {'a', 'b', 'c'})
    fibers.push_back(coir::spawn([&, name] {
      s.acquire();
      order += name;
    }));
  settle();
  s.release();
  CHECK_FALSE(s.try_acquire());
  CHECK(s.available() == 0);
  settle();
  CHECK(order == "a");
  s.release(3);
  CHECK(s.try_acquire());
  coir::wait_all(fibers);
  CHECK(order == "abc");
  CHECK(s.available() == 0);
}

TEST_CASE_METHOD(virtual_time, "semaphore: timed attempts end at their time") {
  coir::semaphore s(0);
  CHECK_FALSE(s.try_acquire());
  CHECK_FALSE(s.try_acquire_for(2ms));
  CHECK_FALSE(s.try_acquire_until(time_source::now() + 1ms));
  CHECK_FALSE(s.try_acquire_until(time_source::now() - 1ms));
  CHECK(elapsed() == 3ms);
  s.release();
  CHECK(s.try_acquire_for(0ms));
  CHECK(throws<std::invalid_argument>([&] { s.try_acquire_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "semaphore: those who gave up or were cancelled take no permit") {
  coir::semaphore s(0);
  auto impatient = coir::spawn([&] { return s.try_acquire_for(1ms); });
  auto doomed = coir::spawn([&] { s.acquire(); });
  bool got = false;
  auto patient = coir::spawn([&] {
    s.acquire();
    got = true;
  });
  settle();
  const bool in_time = impatient.get();
  CHECK_FALSE(in_time);
  doomed.cancel();
  s.release();
  patient.join();
  CHECK(got);
  doomed.join();
  CHECK(s.available() == 0);
}

TEST_CASE_METHOD(virtual_time, "semaphore: a permit given before the cancellation is kept") {
  coir::semaphore s(0);
  bool got = false;
  auto f = coir::spawn([&] {
    s.acquire();
    got = true;
    this_fiber::yield();
  });
  settle();
  s.release();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(got);
  CHECK(s.available() == 0);
}

TEST_CASE_METHOD(virtual_time, "semaphore: negative numbers are invalid arguments that name the value") {
  std::string text = thrown_text<std::invalid_argument>([] { coir::semaphore s(-1); });
  CHECK(contains(text, "permits=-1"));
  coir::semaphore s(1);
  text = thrown_text<std::invalid_argument>([&] { s.release(-2); });
  CHECK(contains(text, "n=-2"));
  s.release(0);
  CHECK(s.available() == 1);
}

TEST_CASE_METHOD(virtual_time, "semaphore: two fibers that take and give in a loop do not starve a third") {
  coir::semaphore s(1);
  bool stop = false;
  int rounds[2] = {};
  std::vector<coir::fiber<void>> greedy;
  for (int i = 0; i < 2; ++i)
    greedy.push_back(coir::spawn([&, i] {
      while (!stop) {
        s.acquire();
        this_fiber::yield();
        ++rounds[i];
        s.release();
      }
    }));
  settle();
  auto third = coir::spawn([&] {
    for (int i = 0; i < 10; ++i) {
      const int before = rounds[0] + rounds[1];
      s.acquire();
      CHECK(rounds[0] + rounds[1] - before <= 2);  // each once, as it stood in line already
      s.release();
    }
    stop = true;
  });
  coir::gather(third);
  coir::wait_all(greedy);
  CHECK(s.available() == 1);
}

TEST_CASE_METHOD(virtual_time, "semaphore: of two who wait one is cancelled, and the other gets the permit") {
  coir::semaphore s(0);
  auto doomed = coir::spawn([&] { s.acquire(); });
  auto next = coir::spawn([&] { s.acquire(); });
  settle();
  doomed.cancel();
  s.release();
  next.join();
  doomed.join();
  CHECK(next.successful());
  CHECK_FALSE(doomed.successful());
  CHECK(s.available() == 0);
}

TEST_CASE_METHOD(virtual_time, "semaphore: a bounded one refuses more than was acquired") {
  coir::semaphore s(2, 2);
  CHECK(contains(thrown_text<std::logic_error>([&] { s.release(); }), "most=2"));
  s.acquire();
  CHECK(throws<std::logic_error>([&] { s.release(2); }));
  CHECK(s.available() == 1);
  s.acquire();
  auto waiter = coir::spawn([&] { s.acquire(); });
  settle();
  CHECK(throws<std::logic_error>([&] { s.release(3); }));
  s.release(2);
  waiter.join();
  CHECK(s.available() == 1);
  CHECK(contains(thrown_text<std::invalid_argument>([] { coir::semaphore wrong(3, 2); }), "most=2"));
}

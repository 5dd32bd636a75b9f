#include <coir/coir.hpp>

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

struct condition_test : virtual_time {
  coir::mutex m;
  coir::condition_variable c;
  std::string order;

  // Waits once and writes its name down.
  coir::fiber<void> waiter(char name) {
    return coir::spawn([this, name] {
      std::unique_lock lock(m);
      c.wait(lock);
      order += name;
    });
  }
};

}  // namespace

TEST_CASE_METHOD(condition_test, "condition_variable: notify_one wakes the longest waiting") {
  std::vector<coir::fiber<void>> fibers;
  for (const char name : {'a', 'b', 'c'}) fibers.push_back(waiter(name));
  settle();
  CHECK(order == "");
  c.notify_one();
  settle();
  CHECK(order == "a");
  c.notify_one();
  c.notify_one();
  coir::wait_all(fibers);
  CHECK(order == "abc");
}

TEST_CASE_METHOD(condition_test, "condition_variable: notify_all wakes all who wait now, and no later ones") {
  auto a = waiter('a'), b = waiter('b');
  settle();
  c.notify_all();
  auto late = waiter('l');
  coir::wait_all(a, b);
  settle();
  CHECK(order == "ab");
  c.notify_all();
  late.join();
}

TEST_CASE_METHOD(condition_test, "condition_variable: a notification without waiters is lost") {
  c.notify_one();
  c.notify_all();
  std::unique_lock lock(m);
  CHECK(c.wait_for(lock, 1ms) == std::cv_status::timeout);
  CHECK(lock.owns_lock());
  CHECK(elapsed() == 1ms);
}

TEST_CASE_METHOD(condition_test,
                 "condition_variable: the mutex is free while one waits, and held afterwards") {
  bool held = false;
  auto f = coir::spawn([&] {
    std::unique_lock lock(m);
    c.wait(lock);
    held = !m.try_lock();
  });
  settle();
  CHECK(m.try_lock());
  c.notify_one();
  settle();
  CHECK_FALSE(f.ready());  // it needs the mutex
  m.unlock();
  f.join();
  CHECK(held);
}

TEST_CASE_METHOD(condition_test, "condition_variable: waits for a predicate") {
  int value = 0;
  auto f = coir::spawn([&] {
    std::unique_lock lock(m);
    c.wait(lock, [&] { return value == 3; });
    return value;
  });
  for (int i = 0; i < 3; ++i) {
    this_fiber::sleep_for(1ms);
    const std::scoped_lock lock(m);
    ++value;
    c.notify_one();
  }
  const int seen = f.get();
  CHECK(seen == 3);
  CHECK(elapsed() == 3ms);
}

TEST_CASE_METHOD(condition_test, "condition_variable: timed waits say whether they were notified") {
  auto f = coir::spawn([&] {
    std::unique_lock lock(m);
    return c.wait_for(lock, 10ms);
  });
  auto g = coir::spawn([&] {
    std::unique_lock lock(m);
    return c.wait_until(lock, time_source::now() + 5ms);
  });
  auto h = coir::spawn([&] {
    std::unique_lock lock(m);
    return c.wait_for(lock, 3ms, [] { return false; });
  });
  auto i = coir::spawn([&] {
    std::unique_lock lock(m);
    return c.wait_until(lock, time_source::now() + 3ms, [this] { return elapsed() >= 3ms; });
  });
  this_fiber::sleep_for(7ms);
  c.notify_all();
  const auto first = f.get(), second = g.get();
  const bool third = h.get(), fourth = i.get();
  CHECK(first == std::cv_status::no_timeout);
  CHECK(second == std::cv_status::timeout);
  CHECK_FALSE(third);
  CHECK(fourth);  // at the deadline the predicate has the last word
}

TEST_CASE_METHOD(condition_test, "condition_variable: one who gave up swallows no notification") {
  auto impatient = coir::spawn([&] {
    std::unique_lock lock(m);
    return c.wait_for(lock, 1ms);
  });
  auto doomed = waiter('d');
  auto patient = waiter('p');
  settle();
  doomed.cancel();
  c.notify_one();  // goes to the impatient one
  c.notify_one();  // must pass the cancelled one by
  coir::wait_all(impatient, doomed, patient);
  CHECK(order == "p");
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(condition_test,
                 "condition_variable: a negative time is an invalid argument, and the lock stays") {
  std::unique_lock lock(m);
  CHECK(throws<std::invalid_argument>([&] { c.wait_for(lock, -1ms); }));
  CHECK(throws<std::invalid_argument>([&] { c.wait_for(lock, -1ms, [] { return false; }); }));
  CHECK(lock.owns_lock());
}

TEST_CASE_METHOD(condition_test, "condition_variable: producers and consumers hand over every item") {
  std::vector<int> store;
  long sum = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int consumer = 0; consumer < 3; ++consumer)
    fibers.push_back(coir::spawn([&] {
      for (int i = 0; i < 100; ++i) {
        std::unique_lock lock(m);
        c.wait(lock, [&] { return !store.empty(); });
        sum += store.back();
        store.pop_back();
      }
    }));
  for (int producer = 0; producer < 3; ++producer)
    fibers.push_back(coir::spawn([&] {
      for (int i = 1; i <= 100; ++i) {
        {
          const std::scoped_lock lock(m);
          store.push_back(i);
        }
        c.notify_one();
        if (i % 7 == 0) this_fiber::yield();
      }
    }));
  coir::wait_all(fibers);
  CHECK(sum == 3 * 5050);
}

TEST_CASE_METHOD(condition_test,
                 "condition_variable: a timeout that ended the wait is thrown though it is reset meanwhile") {
  for (const bool resets : {false, true}) {
    coir::timeout* scope = nullptr;
    bool mine = false, in_time = false;
    auto waits = coir::spawn([&] {
      coir::timeout limit(10ms);
      scope = &limit;
      std::unique_lock lock(m);
      try {
        c.wait(lock);
      } catch (const coir::timed_out& e) {
        mine = e.from(limit) && limit.expired();
      }
      lock.unlock();
      // Who was told of it may have it begin anew.
      limit.reset(10ms);
      this_fiber::sleep_for(1ms);
      in_time = !limit.expired();
    });
    settle();
    m.lock();
    this_fiber::sleep_for(15ms);  // the wait is over, the mutex is not free
    if (resets)
      scope->reset(1h);
    else
      scope->cancel();
    m.unlock();
    waits.join();
    CHECK(mine);
    CHECK(in_time);
  }
}

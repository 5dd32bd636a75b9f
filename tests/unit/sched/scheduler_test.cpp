// The run queue, time and deadlock: what the scheduler promises before anything is built on it.
#include "sched/scheduler.hpp"

#include <coir/coir.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "support/virtual_time.hpp"
#include "wait/waiter.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "scheduler: a spawned fiber does not run before its spawner waits") {
  bool ran = false;
  auto f = coir::spawn([&] { ran = true; });
  CHECK_FALSE(ran);
  this_fiber::yield();
  CHECK(ran);
  CHECK(f.ready());
}

TEST_CASE_METHOD(virtual_time, "scheduler: fibers first run in the order of spawning, and take turns") {
  std::string order;
  std::vector<coir::fiber<void>> fibers;
  for (const char name : {'a', 'b', 'c'})
    fibers.push_back(coir::spawn([&order, name] {
      for (int i = 0; i < 3; ++i) {
        order += name;
        this_fiber::yield();
      }
    }));
  coir::wait_all(fibers);
  CHECK(order == "abcabcabc");
}

TEST_CASE_METHOD(virtual_time, "scheduler: main takes its turn among the others") {
  std::string order;
  auto f = coir::spawn([&] {
    for (int i = 0; i < 3; ++i) {
      order += 'f';
      this_fiber::yield();
    }
  });
  for (int i = 0; i < 3; ++i) {
    order += 'm';
    this_fiber::yield();
  }
  f.join();
  CHECK(order == "mfmfmf");
}

TEST_CASE_METHOD(virtual_time, "scheduler: yielding alone returns at once") {
  for (int i = 0; i < 1000; ++i) this_fiber::yield();
  CHECK(elapsed() == 0ns);
}

TEST_CASE_METHOD(virtual_time, "scheduler: a parked fiber runs again after its wake-up only") {
  coir::wait::waiter* waiter = nullptr;
  int step = 0;
  auto f = coir::spawn([&] {
    coir::wait::waiter w;
    waiter = &w;
    step = 1;
    coir::wait::park(w, "test");
    step = 2;
  });
  settle();
  CHECK(step == 1);
  CHECK(waiter->claim(coir::wait::outcome::notified));
  CHECK_FALSE(waiter->claim(coir::wait::outcome::timed_out));
  waiter->wake();
  CHECK(step == 1);
  f.join();
  CHECK(step == 2);
}

TEST_CASE_METHOD(virtual_time, "scheduler: sleepers wake in the order of their deadlines, at their time") {
  std::vector<long> woken;
  std::vector<coir::fiber<void>> fibers;
  const std::vector<long> sleeps = {50, 10, 3'000'000, 40, 1'000'000'000, 20, 70'000};
  for (const long ns : sleeps)
    fibers.push_back(coir::spawn([&, ns] {
      this_fiber::sleep_for(nanoseconds(ns));
      CHECK(elapsed() == nanoseconds(ns));
      woken.push_back(ns);
    }));
  coir::wait_all(fibers);
  CHECK(woken == std::vector<long>{10, 20, 40, 50, 70'000, 3'000'000, 1'000'000'000});
}

TEST_CASE_METHOD(virtual_time, "scheduler: sleeps of years and of a nanosecond end exactly") {
  const auto d = GENERATE(nanoseconds(1), nanoseconds(65'536), nanoseconds(10min), nanoseconds(24h * 365));
  this_fiber::sleep_for(d);
  CHECK(elapsed() == d);
}

TEST_CASE_METHOD(virtual_time, "scheduler: sleeping until a time point ends then, at once if it has passed") {
  const auto start = time_source::now();
  this_fiber::sleep_until(start + 5ms);
  CHECK(elapsed() == 5ms);
  this_fiber::sleep_until(start);
  this_fiber::sleep_until(time_source::time_point::min());
  CHECK(elapsed() == 5ms);
}

TEST_CASE_METHOD(virtual_time, "scheduler: a negative sleep is an invalid argument") {
  const std::string text = thrown_text<std::invalid_argument>([] { this_fiber::sleep_for(-2s); });
  INFO(text);
  CHECK(contains(text, "sleep_for"));
  CHECK(contains(text, "-2"));
  CHECK(throws<std::invalid_argument>([] { this_fiber::sleep_for(std::chrono::duration<double>(-0.5)); }));
}

TEST_CASE_METHOD(virtual_time, "scheduler: a sleep of zero lets others run") {
  bool ran = false;
  auto f = coir::spawn([&] { ran = true; });
  this_fiber::sleep_for(0s);
  CHECK(ran);
}

TEST_CASE_METHOD(virtual_time, "scheduler: a crowd of yielding fibers does not starve timers") {
  bool stop = false;
  std::vector<coir::fiber<void>> crowd;
  for (int i = 0; i < 10; ++i)
    crowd.push_back(coir::spawn([&] {
      while (!stop) {
        compute(10us);
        this_fiber::yield();
      }
    }));
  auto sleeper = coir::spawn([&] {
    this_fiber::sleep_for(5ms);
    stop = true;
    return elapsed();
  });
  const nanoseconds woken = sleeper.get();
  CHECK(woken >= 5ms);
  CHECK(woken < 5ms + 300 * 10us);  // a few turns of the run queue, 128 switches each
  coir::wait_all(crowd);
}

TEST_CASE_METHOD(virtual_time, "scheduler: a fiber that yields alone does not starve timers") {
  bool fired = false;
  auto sleeper = coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    fired = true;
  });
  this_fiber::yield();
  for (int i = 0; i < 300 && !fired; ++i) {
    compute(10us);
    this_fiber::yield();
  }
  CHECK(fired);
  sleeper.join();
}

TEST_CASE_METHOD(virtual_time, "scheduler: numbers of fibers are never used twice") {
  const auto first = coir::spawn([] {});
  std::uint64_t last = first.id();
  for (int i = 0; i < 3000; ++i) {
    auto f = coir::spawn([] {});
    REQUIRE(f.id() > last);
    last = f.id();
    if (i % 100 == 0) f.join();
  }
  settle();
}

TEST_CASE_METHOD(virtual_time, "scheduler: many fibers park and run in turn") {
  constexpr int count = fibers_at_once(10'000);
  coir::event go;
  int running = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < count; ++i)
    fibers.push_back(coir::spawn([&] {
      go.wait();
      ++running;
    }));
  settle();
  CHECK(coir::inspect::fiber_count() == count);
  go.set();
  coir::wait_all(fibers);
  CHECK(running == count);
}

#ifndef COIR_TSAN  // there no process counts as single-threaded, and deadlock is told of single-threaded ones
                   // only

TEST_CASE_METHOD(virtual_time,
                 "scheduler: when nothing can ever run again main gets coir::deadlock, after a dump") {
  coir::event never_set;
  auto stuck = coir::spawn(coir::attributes{.name = "stuck one"}, [&] { never_set.wait(); });
  coir::mutex locked;
  locked.lock();
  auto other = coir::spawn([&] { const std::scoped_lock wait(locked); });
  std::string dump;
  bool thrown = false;
  {
    const captured_stderr err;
    thrown = throws<coir::deadlock>([&] { stuck.join(); });
    dump = err.text();
  }
  CHECK(thrown);
  INFO(dump);
  CHECK(contains(dump, "coir: deadlock"));
  CHECK(contains(dump, "\"main\" parked in join"));
  CHECK(contains(dump, "\"stuck one\" parked in event, spawned at "));
  CHECK(contains(dump, "\"fiber\" parked in mutex"));
  // Main may go on, and even set it right.
  never_set.set();
  locked.unlock();
  coir::wait_all(stuck, other);
}

TEST_CASE_METHOD(virtual_time, "scheduler: each deadlock is told") {
  coir::event never_set;
  const captured_stderr err;
  for (int i = 0; i < 3; ++i) CHECK(throws<coir::deadlock>([&] { never_set.wait(); }));
}

TEST_CASE_METHOD(virtual_time, "scheduler: locking a mutex twice is a deadlock") {
  coir::mutex m;
  m.lock();
  const captured_stderr err;
  CHECK(throws<coir::deadlock>([&] { m.lock(); }));
  m.unlock();
}

TEST_CASE_METHOD(virtual_time, "scheduler: a shield does not hide a deadlock") {
  coir::event never_set;
  const this_fiber::shield quiet;
  const captured_stderr err;
  CHECK(throws<coir::deadlock>([&] { never_set.wait(); }));
}

TEST_CASE_METHOD(virtual_time, "scheduler: a deadline ahead is no deadlock") {
  coir::event never_set;
  CHECK_FALSE(never_set.wait_for(1h));
  CHECK(elapsed() == 1h);
}

#endif

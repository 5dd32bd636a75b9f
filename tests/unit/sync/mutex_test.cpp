// mutex and recursive_mutex.
#include <coir/coir.hpp>

#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

template <class Mutex>
void one_holds_it_others_queue() {
  Mutex m;
  std::string order;
  bool inside = false, overlapped = false;
  std::vector<coir::fiber<void>> fibers;
  for (const char name : {'a', 'b', 'c', 'd'})
    fibers.push_back(coir::spawn([&, name] {
      for (int i = 0; i < 2; ++i) {
        const std::scoped_lock lock(m);
        overlapped |= inside;
        inside = true;
        this_fiber::sleep_for(1ms);
        order += name;
        inside = false;
      }
    }));
  coir::wait_all(fibers);
  CHECK_FALSE(overlapped);
  CHECK(order == "abcdabcd");
}

template <class Mutex>
void handed_over() {
  Mutex m;
  m.lock();
  bool got = false;
  auto waiter = coir::spawn([&] {
    m.lock();
    got = true;
    m.unlock();
  });
  settle();
  m.unlock();
  const bool stolen = m.try_lock();
  CHECK_FALSE(stolen);  // it belongs to the waiter already
  CHECK_FALSE(got);
  waiter.join();
  CHECK(got);
}

template <class Mutex>
void timed_attempts() {
  Mutex m;
  m.lock();
  auto f = coir::spawn([&] {
    const bool now = m.try_lock();
    const bool after_2ms = m.try_lock_for(2ms);
    const bool after_none = m.try_lock_for(0ms);
    const bool until = m.try_lock_until(virtual_time::time_source::now() + 3ms);
    const bool past = m.try_lock_until(virtual_time::time_source::now() - 3ms);
    return !now && !after_2ms && !after_none && !until && !past;
  });
  const bool all_failed = f.get();
  CHECK(all_failed);
  m.unlock();
  const bool free = m.try_lock_for(1ms);
  CHECK(free);
  m.unlock();
}

template <class Mutex>
void waiter_that_gave_up_is_passed_over() {
  Mutex m;
  m.lock();
  bool last_got_it = false;
  auto impatient = coir::spawn([&] { return m.try_lock_for(1ms); });
  auto doomed = coir::spawn([&] { m.lock(); });
  auto last = coir::spawn([&] {
    m.lock();
    last_got_it = true;
    m.unlock();
  });
  settle();
  doomed.cancel();
  const bool in_time = impatient.get();
  CHECK_FALSE(in_time);
  doomed.join();
  m.unlock();
  last.join();
  CHECK(last_got_it);
  const bool free = m.try_lock();
  CHECK(free);
  m.unlock();
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "mutex: one holds it, the others get it in the order of their coming") {
  SECTION("mutex") {
    one_holds_it_others_queue<coir::mutex>();
  }
  SECTION("recursive_mutex") {
    one_holds_it_others_queue<coir::recursive_mutex>();
  }
}

TEST_CASE_METHOD(virtual_time, "mutex: unlock hands it to the longest waiting, nobody overtakes") {
  SECTION("mutex") {
    handed_over<coir::mutex>();
  }
  SECTION("recursive_mutex") {
    handed_over<coir::recursive_mutex>();
  }
}

TEST_CASE_METHOD(virtual_time, "mutex: timed attempts end at their time") {
  SECTION("mutex") {
    timed_attempts<coir::mutex>();
  }
  SECTION("recursive_mutex") {
    timed_attempts<coir::recursive_mutex>();
  }
  CHECK(elapsed() == 5ms);
}

TEST_CASE_METHOD(virtual_time, "mutex: waiters that gave up or were cancelled do not take it") {
  SECTION("mutex") {
    waiter_that_gave_up_is_passed_over<coir::mutex>();
  }
  SECTION("recursive_mutex") {
    waiter_that_gave_up_is_passed_over<coir::recursive_mutex>();
  }
}

TEST_CASE_METHOD(virtual_time, "mutex: try_lock takes a free one only") {
  coir::mutex m;
  CHECK(m.try_lock());
  CHECK_FALSE(m.try_lock());
  m.unlock();
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE_METHOD(virtual_time, "mutex: a negative time is an invalid argument") {
  coir::mutex m;
  CHECK(throws<std::invalid_argument>([&] { (void)m.try_lock_for(-1ms); }));
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE_METHOD(virtual_time, "mutex: a cancelled fiber that was handed the lock has it") {
  coir::mutex m;
  m.lock();
  bool held = false;
  auto f = coir::spawn([&] {
    const std::scoped_lock lock(m);
    held = true;
    this_fiber::yield();
  });
  settle();
  m.unlock();  // handed over …
  f.cancel();  // … before this
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(held);
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE_METHOD(virtual_time, "mutex: works with std::lock, scoped_lock and unique_lock") {
  coir::mutex a, b;
  int rounds = 0;
  auto forth = coir::spawn([&] {
    for (int i = 0; i < 50; ++i) {
      const std::scoped_lock both(a, b);
      this_fiber::yield();
      ++rounds;
    }
  });
  auto back = coir::spawn([&] {
    for (int i = 0; i < 50; ++i) {
      std::unique_lock first(b, std::defer_lock), second(a, std::defer_lock);
      std::lock(first, second);
      this_fiber::yield();
      ++rounds;
    }
  });
  coir::wait_all(forth, back);
  CHECK(rounds == 100);
}

TEST_CASE_METHOD(virtual_time,
                 "recursive_mutex: its owner locks it again, and frees it with as many unlocks") {
  coir::recursive_mutex m;
  m.lock();
  m.lock();
  CHECK(m.try_lock());
  CHECK(m.try_lock_for(1ms));
  const auto other_gets_it = [&] {
    return coir::spawn([&] {
             if (!m.try_lock()) return false;
             m.unlock();
             return true;
           })
        .get();
  };
  for (int i = 0; i < 4; ++i) {
    const bool got = other_gets_it();
    CHECK_FALSE(got);
    m.unlock();
  }
  const bool got = other_gets_it();
  CHECK(got);
}

TEST_CASE_METHOD(virtual_time, "mutex: unlocked by another it says whose it is, and stays locked") {
  coir::mutex m;
  const std::string nobodys = thrown_text<std::system_error>([&] { m.unlock(); });
  CHECK(contains(nobodys, "coir::mutex::unlock: fiber #"));
  CHECK(contains(nobodys, "\"main\" does not hold it; nobody does"));
  coir::condition_variable changed;
  std::unique_lock<coir::mutex> not_held(m, std::adopt_lock);
  CHECK(throws<std::system_error>([&] { changed.wait(not_held); }));
  CHECK(throws<std::system_error>([&] { changed.wait_for(not_held, 1ms); }));
  not_held.release();
  for (const bool wanted : {false, true}) {
    auto holder = coir::spawn(coir::attributes{.name = "holder"}, [&] {
      m.lock();
      this_fiber::sleep_for(2ms);
      m.unlock();
    });
    settle();
    coir::fiber<void> next;
    if (wanted) next = coir::spawn([&] { const std::scoped_lock l(m); });
    settle();
    const std::string text = thrown_text<std::system_error>([&] { m.unlock(); });
    CHECK(contains(text, "fiber #" + std::to_string(holder.id()) + " \"holder\" does"));
    CHECK_FALSE(m.try_lock());
    holder.get();
    if (wanted) next.get();
    CHECK(m.try_lock());
    m.unlock();
  }
}

TEST_CASE_METHOD(virtual_time, "shared_mutex: unlocked by who does not hold it it says so") {
  coir::shared_mutex m;
  CHECK(throws<std::system_error>([&] { m.unlock(); }));
  CHECK(throws<std::system_error>([&] { m.unlock_shared(); }));
  m.lock_shared();
  CHECK(throws<std::system_error>([&] { m.unlock(); }));
  m.unlock_shared();
  auto writer = coir::spawn([&] {
    m.lock();
    this_fiber::sleep_for(1ms);
    m.unlock();
  });
  settle();
  CHECK(throws<std::system_error>([&] { m.unlock(); }));
  CHECK(throws<std::system_error>([&] { m.unlock_shared(); }));
  auto second = coir::spawn([&] {
    m.lock();
    m.unlock();
  });
  writer.get();
  second.get();
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE_METHOD(virtual_time, "recursive_mutex: unlocked by another it says so, and stays locked") {
  coir::recursive_mutex m;
  CHECK(throws<std::system_error>([&] { m.unlock(); }));
  m.lock();
  auto f = coir::spawn([&] {
    std::error_code code;
    try {
      m.unlock();
    } catch (const std::system_error& e) {
      code = e.code();
    }
    return code == std::errc::operation_not_permitted;
  });
  const bool refused = f.get();
  CHECK(refused);
  m.unlock();
}

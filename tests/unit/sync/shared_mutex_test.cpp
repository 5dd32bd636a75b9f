#include <coir/coir.hpp>

#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// Fibers that take the lock, note their name, hold it for a millisecond.
struct line {
  coir::shared_mutex m;
  std::string order;
  std::vector<coir::fiber<void>> fibers;

  coir::fiber<void> write(char name) {
    fibers.push_back(coir::spawn([this, name] {
      const std::unique_lock lock(m);
      order += name;
      this_fiber::sleep_for(1ms);
    }));
    settle();
    return fibers.back();
  }
  coir::fiber<void> read(char name) {
    fibers.push_back(coir::spawn([this, name] {
      const std::shared_lock lock(m);
      order += name;
      this_fiber::sleep_for(1ms);
    }));
    settle();
    return fibers.back();
  }
  void end() { coir::wait_all(fibers); }
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "shared_mutex: readers hold it together, a writer alone") {
  line l;
  l.read('a');
  l.read('b');
  CHECK(l.order == "ab");
  CHECK_FALSE(l.m.try_lock());
  CHECK(l.m.try_lock_shared());
  l.m.unlock_shared();
  l.end();
  l.write('w');
  CHECK_FALSE(l.m.try_lock_shared());
  CHECK_FALSE(l.m.try_lock());
  l.end();
  CHECK(elapsed() == 2ms);
  CHECK(l.m.try_lock());
  l.m.unlock();
}

TEST_CASE_METHOD(virtual_time, "shared_mutex: is given in the order of coming, readers in a row together") {
  line l;
  l.read('a');
  for (const char name : {'V', 'b', 'c', 'W', 'X', 'd', 'e'})
    if (name < 'a')
      l.write(name);
    else
      l.read(name);
  CHECK_FALSE(l.m.try_lock_shared());  // nobody overtakes the writer who waits
  l.end();
  CHECK(l.order == "aVbcWXde");
  CHECK(elapsed() == 6ms);
}

TEST_CASE_METHOD(virtual_time, "shared_mutex: readers that keep coming do not starve a writer") {
  coir::shared_mutex m;
  bool stop = false, written = false;
  std::vector<coir::fiber<void>> readers;
  for (int i = 0; i < 3; ++i)
    readers.push_back(coir::spawn([&, i] {
      this_fiber::sleep_for(i * 300us);
      while (!stop) {
        const std::shared_lock lock(m);
        this_fiber::sleep_for(1ms);
      }
    }));
  auto writer = coir::spawn([&] {
    this_fiber::sleep_for(2ms);
    written = m.try_lock_for(2ms);
    if (written) m.unlock();
    stop = true;
  });
  writer.join();
  coir::wait_all(readers);
  CHECK(written);
}

TEST_CASE_METHOD(virtual_time, "shared_mutex: a writer that gives up lets the readers behind it in") {
  line l;
  l.m.lock_shared();
  SECTION("cancelled") {
    auto writer = l.write('W');
    l.read('a');
    CHECK(l.order.empty());
    writer.cancel();
    settle();
    CHECK(l.order == "a");
    CHECK(elapsed() == 0ms);
  }
  SECTION("timed out") {
    auto writer = coir::spawn([&] { return l.m.try_lock_for(1ms); });
    settle();
    l.read('a');
    const bool got = writer.get();
    CHECK_FALSE(got);
    settle();
    CHECK(l.order == "a");
    CHECK(elapsed() == 1ms);
  }
  l.end();
  l.m.unlock_shared();
  CHECK(l.m.try_lock());
  l.m.unlock();
}

TEST_CASE_METHOD(virtual_time, "shared_mutex: one cancelled while it waits does not swallow the lock") {
  line l;
  l.m.lock();
  auto doomed_reader = l.read('x');
  auto doomed_writer = l.write('X');
  l.write('W');
  doomed_reader.cancel();
  doomed_writer.cancel();
  l.m.unlock();  // before they have run
  l.end();
  CHECK(l.order == "W");
  CHECK(l.m.try_lock());
  l.m.unlock();
}

TEST_CASE_METHOD(virtual_time, "shared_mutex: timed attempts end at their time") {
  coir::shared_mutex m;
  m.lock();
  CHECK_FALSE(m.try_lock_for(1ms));
  CHECK_FALSE(m.try_lock_shared_for(1ms));
  CHECK_FALSE(m.try_lock_until(time_source::now() + 1ms));
  CHECK_FALSE(m.try_lock_shared_until(time_source::now() + 1ms));
  CHECK(elapsed() == 4ms);
  m.unlock();
  CHECK(m.try_lock_shared_for(1ms));
  CHECK(m.try_lock_shared_until(time_source::now() - 1ms));
  m.unlock_shared();
  m.unlock_shared();
  CHECK(m.try_lock_for(1ms));
  m.unlock();
  CHECK(elapsed() == 4ms);
  CHECK(throws<std::invalid_argument>([&] { (void)m.try_lock_for(-1ms); }));
  CHECK(throws<std::invalid_argument>([&] { (void)m.try_lock_shared_for(-1ms); }));
}

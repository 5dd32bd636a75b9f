#include <coir/coir.hpp>

#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "group: join waits for all, those spawned meanwhile included") {
  coir::group g;
  int ended = 0;
  g.spawn([&] {
    this_fiber::sleep_for(1ms);
    g.spawn([&] {
      this_fiber::sleep_for(2ms);
      ++ended;
    });
    ++ended;
  });
  g.spawn([&] { ++ended; });
  CHECK(g.size() == 2);
  CHECK_FALSE(g.empty());
  g.join();
  CHECK(ended == 3);
  CHECK(elapsed() == 3ms);
  CHECK(g.empty());
  g.join();
}

TEST_CASE_METHOD(virtual_time, "group: spawn gives a handle and takes attributes and arguments") {
  coir::group g;
  auto f = g.spawn(
      coir::attributes{.name = "member"}, [](int a, int b) { return a + b; }, 1, 2);
  CHECK(f.name() == "member");
  const int sum = f.get();
  CHECK(sum == 3);
  CHECK(g.empty());
}

TEST_CASE_METHOD(virtual_time, "group: its destructor cancels those that run and waits for their ends") {
  std::string log;
  {
    coir::group g;
    g.spawn([&] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        const this_fiber::shield clean_up;
        this_fiber::sleep_for(5ms);
        log += "cleaned ";
        throw;
      }
    });
    g.spawn([&] { log += "ran "; });
    this_fiber::yield();
    g.spawn([&] { log += "never "; });
  }
  log += "left";
  CHECK(log == "ran cleaned left");
  CHECK(elapsed() == 5ms);
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time,
                 "group: join throws the first exception of a member whose handle was dropped") {
  std::string err_text, text;
  {
    const captured_stderr err;
    coir::group g;
    g.spawn([] {
      this_fiber::sleep_for(2ms);
      throw std::runtime_error("second");
    });
    g.spawn([] {
      this_fiber::sleep_for(1ms);
      throw std::runtime_error("first");
    });
    text = thrown_text<std::runtime_error>([&] { g.join(); });
    CHECK(g.empty());
    g.join();  // it was thrown once
    err_text = err.text();
  }
  CHECK(text == "first");
  CHECK_FALSE(contains(err_text, "first"));
}

TEST_CASE_METHOD(virtual_time, "group: join throws the exception of a member whose handle is kept") {
  coir::group g;
  auto f = g.spawn([] { throw std::runtime_error("kept"); });
  const std::string text = thrown_text<std::runtime_error>([&] { g.join(); });
  CHECK(text == "kept");
  CHECK(throws<std::runtime_error>([&] { f.get(); }));
}

TEST_CASE_METHOD(virtual_time, "group: cancel ends all members, and join does not throw for it") {
  coir::group g;
  int ended = 0;
  for (int i = 0; i < 5; ++i)
    g.spawn([&] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        ++ended;
        throw;
      }
    });
  this_fiber::yield();
  g.cancel();
  g.join();
  CHECK(ended == 5);
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "group: join_for says whether all ended in time") {
  coir::group g;
  g.spawn([] { this_fiber::sleep_for(10ms); });
  const bool early = g.join_for(4ms);
  CHECK_FALSE(early);
  CHECK(elapsed() == 4ms);
  const bool in_time = g.join_for(10ms);
  CHECK(in_time);
  CHECK(elapsed() == 10ms);
  CHECK(throws<std::invalid_argument>([&] { g.join_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "group: join can be interrupted, and the members run on") {
  coir::group g;
  bool ended = false;
  g.spawn([&] {
    this_fiber::sleep_for(10ms);
    ended = true;
  });
  const bool in_time = coir::with_timeout(1ms, [&] { g.join(); });
  CHECK_FALSE(in_time);
  CHECK_FALSE(ended);
  g.join();
  CHECK(ended);
}

TEST_CASE_METHOD(virtual_time, "group: waits for its members even while an exception leaves the scope") {
  bool cleaned = false;
  const std::string text = thrown_text<std::runtime_error>([&] {
    coir::group g;
    g.spawn([&] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        const this_fiber::shield clean_up;
        this_fiber::sleep_for(1ms);
        cleaned = true;
        throw;
      }
    });
    this_fiber::yield();
    throw std::runtime_error("leaving");
  });
  CHECK(text == "leaving");
  CHECK(cleaned);
}

TEST_CASE_METHOD(virtual_time, "group: waits for its members although its own fiber was cancelled") {
  bool cleaned = false;
  auto owner = coir::spawn([&] {
    coir::group g;
    g.spawn([&] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        const this_fiber::shield clean_up;
        this_fiber::sleep_for(1ms);
        cleaned = true;
        throw;
      }
    });
    g.join();
  });
  this_fiber::yield();
  this_fiber::yield();
  owner.cancel();
  CHECK(throws<coir::cancelled>([&] { owner.get(); }));
  CHECK(cleaned);
}

TEST_CASE_METHOD(virtual_time, "group: several fibers may join it") {
  coir::group g;
  g.spawn([] { this_fiber::sleep_for(3ms); });
  std::vector<coir::fiber<void>> joiners;
  for (int i = 0; i < 3; ++i) joiners.push_back(coir::spawn([&] { g.join(); }));
  coir::wait_all(joiners);
  CHECK(elapsed() == 3ms);
}

TEST_CASE_METHOD(virtual_time, "group: does not grow while members come and go") {
  coir::group g;
  for (int i = 0; i < 10'000; ++i) {
    g.spawn([] {});
    this_fiber::yield();
    REQUIRE(g.size() <= 1);
  }
  g.join();
}

TEST_CASE_METHOD(virtual_time, "group: takes in fibers that were spawned elsewhere") {
  int ended = 0;
  auto a = coir::spawn([&] {
    this_fiber::sleep_for(3ms);
    ++ended;
  });
  auto b = coir::spawn([&] { this_fiber::sleep_for(1h); });
  auto done = coir::spawn([] {});
  done.join();
  {
    coir::group g;
    g.add(a);
    g.add(b);
    g.add(done);
    CHECK(g.size() == 2);
    const bool early = g.join_for(5ms);
    CHECK_FALSE(early);
    CHECK(ended == 1);
  }
  CHECK(b.ready());
  CHECK(elapsed() == 5ms);
  CHECK(throws<std::logic_error>([] { coir::group().add(coir::fiber<int>()); }));
}

TEST_CASE_METHOD(virtual_time, "group: takes in a fiber that failed before, and join throws what it threw") {
  auto failed = coir::spawn([] { throw std::runtime_error("before"); });
  failed.join();
  coir::group g;
  g.add(failed);
  const std::string text = thrown_text<std::runtime_error>([&] { g.join(); });
  CHECK(text == "before");
}

TEST_CASE_METHOD(virtual_time,
                 "group: cancel_for says whether all have ended in time, cleaning up included") {
  coir::group g;
  for (const auto clean_up_time : {3ms, 20ms})
    g.spawn([clean_up_time] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        const this_fiber::shield clean_up;
        this_fiber::sleep_for(clean_up_time);
        throw;
      }
    });
  this_fiber::yield();
  const bool early = g.cancel_for(10ms);
  CHECK_FALSE(early);
  CHECK(elapsed() == 10ms);
  CHECK(g.size() == 1);
  const bool in_time = g.cancel_for(15ms);
  CHECK(in_time);
  CHECK(elapsed() == 20ms);
  CHECK(throws<std::invalid_argument>([&] { g.cancel_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "group: in the mode for it, the first failure cancels the others") {
  coir::group g(coir::on_failure::cancel_others);
  int cancelled = 0;
  for (int i = 0; i < 3; ++i)
    g.spawn([&] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        ++cancelled;
        throw;
      }
    });
  g.spawn([] {
    this_fiber::sleep_for(2ms);
    throw std::runtime_error("failed");
  });
  const std::string text = thrown_text<std::runtime_error>([&] { g.join(); });
  CHECK(text == "failed");
  CHECK(cancelled == 3);
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time,
                 "group: after a failure what is spawned never runs, until join has thrown it") {
  coir::group g(coir::on_failure::cancel_others);
  g.spawn([] { throw std::runtime_error("failed"); });
  this_fiber::yield();
  bool ran = false;
  auto late = g.spawn([&] { ran = true; });
  CHECK(throws<std::runtime_error>([&] { g.join(); }));
  CHECK_FALSE(ran);
  CHECK(throws<coir::cancelled>([&] { late.get(); }));
  g.spawn([&] { ran = true; });
  g.join();
  CHECK(ran);
}

TEST_CASE_METHOD(virtual_time,
                 "group: the first failure is told when it happens, unless somebody is in join") {
  const auto heard = [](coir::failure_report when, bool joins) {
    coir::group g;
    if (when != coir::failure_report::unless_awaited) g.report_failures(when);
    g.spawn(coir::attributes{.name = "handler"}, [] {
      this_fiber::sleep_for(1ms);
      throw std::runtime_error("broken");
    });
    g.spawn([] { this_fiber::sleep_for(5ms); });
    std::string text;
    const captured_stderr err;
    if (joins)
      CHECK(throws<std::runtime_error>([&] { g.join(); }));
    else
      this_fiber::sleep_for(2ms);
    text = err.text();
    if (!joins) CHECK(throws<std::runtime_error>([&] { g.join(); }));
    CHECK(err.text() == text);  // once
    return contains(text, "\"handler\"") && contains(text, "ended by std::runtime_error: broken");
  };
  using enum coir::failure_report;
  CHECK(heard(unless_awaited, false));
  CHECK_FALSE(heard(unless_awaited, true));
  CHECK(heard(at_once, false));
  CHECK(heard(at_once, true));
  CHECK_FALSE(heard(by_join, false));
}

TEST_CASE_METHOD(virtual_time,
                 "pool: the first failure is told when it happens, unless somebody is in join") {
  std::string unheard, heard;
  {
    const captured_stderr err;
    coir::pool p(2);
    p.spawn([] { throw std::runtime_error("broken"); });
    CHECK(throws<std::runtime_error>([&] { p.join(); }));
    unheard = err.text();
    p.spawn([] { throw std::runtime_error("broken"); });
    settle();
    heard = err.text();
    CHECK(throws<std::runtime_error>([&] { p.join(); }));
  }
  CHECK(unheard == "");
  CHECK(contains(heard, "ended by std::runtime_error: broken"));
}

TEST_CASE_METHOD(virtual_time, "group: a failure of which a handle is kept is the handle's to tell") {
  const captured_stderr err;
  coir::group g;
  auto f = g.spawn([] { throw std::runtime_error("broken"); });
  settle();
  CHECK(throws<std::runtime_error>([&] { f.get(); }));
  CHECK(throws<std::runtime_error>([&] { g.join(); }));
  CHECK(err.text() == "");
}

TEST_CASE_METHOD(virtual_time,
                 "group: one of its own fibers that joins it is told that it would wait for itself") {
  coir::group g;
  coir::pool p(2);
  std::string of_group, of_pool;
  auto member = g.spawn(coir::attributes{.name = "member"}, [&] {
    of_group = thrown_text<std::system_error>([&] { g.join(); });
    CHECK_FALSE(g.join_for(1ms));
  });
  p.spawn([&] { of_pool = thrown_text<std::system_error>([&] { p.join(); }); });
  g.join();
  p.join();
  CHECK(contains(of_group, "coir::group::join: fiber #" + std::to_string(member.id()) + " \"member\""));
  CHECK(contains(of_pool, "coir::pool::join: the caller is one of its own fibers"));
}

TEST_CASE_METHOD(virtual_time, "group: used on another thread it says so, and its fibers go on") {
  coir::group g;
  coir::pool p(1);
  bool ended = false;
  g.spawn([&] {
    this_fiber::sleep_for(1ms);
    ended = true;
  });
  p.spawn([] { this_fiber::sleep_for(1ms); });
  std::string text;
  {
    const captured_stderr err;
    std::thread([&] {
      CHECK(throws<std::logic_error>([&] { g.spawn([] {}); }));
      CHECK(throws<std::logic_error>([&] { g.join(); }));
      CHECK(throws<std::logic_error>([&] { g.cancel_for(1ms); }));
      CHECK(throws<std::logic_error>([&] { p.spawn([] {}); }));
      CHECK(throws<std::logic_error>([&] { p.join(); }));
      g.cancel();
    }).join();
    text = err.text();
  }
  CHECK(contains(text, "coir: cancel of a group, called on another thread than its fibers run on"));
  g.join();
  p.join();
  CHECK(ended);
}

TEST_CASE_METHOD(virtual_time, "group: a cancelled member is no failure") {
  coir::group g(coir::on_failure::cancel_others);
  auto victim = g.spawn([] { this_fiber::sleep_for(1h); });
  auto other = g.spawn([] { this_fiber::sleep_for(5ms); });
  this_fiber::yield();
  victim.cancel();
  g.join();
  CHECK(other.successful());
}

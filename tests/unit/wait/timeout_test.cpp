// Timeout scopes: who expired is told by identity.
#include <coir/coir.h>
#include <coir/coir.hpp>

#include <errno.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"
#include "wait/interrupt.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "timeout: ends a wait at its time") {
  bool mine = false;
  const coir::timeout limit(5ms);
  try {
    this_fiber::sleep_for(1h);
  } catch (const coir::timed_out& e) {
    mine = e.from(limit) && e.scope() == &limit;
  }
  CHECK(mine);
  CHECK(elapsed() == 5ms);
  CHECK(limit.expired());
}

TEST_CASE_METHOD(virtual_time, "timeout: a scope left in time has no effect") {
  {
    const coir::timeout limit(5ms);
    this_fiber::sleep_for(4ms);
    CHECK_FALSE(limit.expired());
  }
  this_fiber::sleep_for(10ms);
  CHECK(elapsed() == 14ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: each wait inside an expired scope fails, none after it") {
  {
    const coir::timeout limit(1ms);
    for (int i = 0; i < 3; ++i) CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
    CHECK(throws<coir::timed_out>([] { this_fiber::yield(); }));
    CHECK(throws<coir::timed_out>([] { this_fiber::check_cancelled(); }));
    CHECK(elapsed() == 1ms);
  }
  this_fiber::sleep_for(1ms);
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: of nested scopes the one that expired is named") {
  const coir::timeout outer(2ms);
  {
    const coir::timeout inner(10ms);
    bool from_outer = false, from_inner = false;
    try {
      this_fiber::sleep_for(1h);
    } catch (const coir::timed_out& e) {
      from_outer = e.from(outer);
      from_inner = e.from(inner);
    }
    CHECK(from_outer);
    CHECK_FALSE(from_inner);
    CHECK_FALSE(inner.expired());
  }
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: an inner scope that expires leaves the outer one running") {
  const coir::timeout outer(10ms);
  {
    const coir::timeout inner(2ms);
    bool from_inner = false;
    try {
      this_fiber::sleep_for(1h);
    } catch (const coir::timed_out& e) {
      from_inner = e.from(inner) && !e.from(outer);
    }
    CHECK(from_inner);
  }
  this_fiber::sleep_for(3ms);
  CHECK(elapsed() == 5ms);
  bool from_outer = false;
  try {
    this_fiber::sleep_for(1h);
  } catch (const coir::timed_out& e) {
    from_outer = e.from(outer);
  }
  CHECK(from_outer);
  CHECK(elapsed() == 10ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: of several expired scopes the one that expired first is named") {
  const coir::timeout outer(5ms);
  const coir::timeout middle(2ms);
  const coir::timeout inner(8ms);
  compute(10ms);
  const void* named = nullptr;
  try {
    this_fiber::sleep_for(1h);
  } catch (const coir::timed_out& e) {
    named = e.scope();
  }
  CHECK(named == &middle);
}

TEST_CASE_METHOD(virtual_time, "timeout: zero expires at the next wait, a fiber that does not wait goes on") {
  const coir::timeout limit(0s);
  CHECK(limit.expired());
  CHECK(throws<coir::timed_out>([] { this_fiber::yield(); }));
}

TEST_CASE_METHOD(virtual_time, "timeout: a negative one is an invalid argument that names its value") {
  const std::string text = thrown_text<std::invalid_argument>([] { const coir::timeout limit(-3ms); });
  INFO(text);
  CHECK(contains(text, "coir::timeout"));
  CHECK(contains(text, "-0.003"));
  CHECK(throws<std::invalid_argument>([] { coir::with_timeout(-1s, [] {}); }));
}

TEST_CASE_METHOD(virtual_time, "timeout: a huge one never expires") {
  const coir::timeout limit(std::chrono::hours::max());
  const coir::timeout other(std::chrono::nanoseconds::max());
  const coir::timeout precise(std::chrono::duration<double>(1e300));
  this_fiber::sleep_for(24h * 365);
  CHECK_FALSE(limit.expired());
  CHECK_FALSE(other.expired());
  CHECK_FALSE(precise.expired());
}

TEST_CASE_METHOD(virtual_time, "timeout: fractions round up, so that nothing ends early") {
  const coir::timeout limit(std::chrono::duration<double, std::nano>(10.2));
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  CHECK(elapsed() == 11ns);
}

TEST_CASE_METHOD(virtual_time, "timeout: cancel takes the limit away") {
  coir::timeout limit(1ms);
  limit.cancel();
  this_fiber::sleep_for(2ms);
  CHECK_FALSE(limit.expired());
  coir::timeout expired(1ms);
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  expired.cancel();
  CHECK_FALSE(expired.expired());
  this_fiber::sleep_for(1ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: limits its own fiber only") {
  auto other = coir::spawn([this] {
    this_fiber::sleep_for(10ms);
    return elapsed();
  });
  {
    const coir::timeout limit(1ms);
    CHECK(throws<coir::timed_out>([&] { other.join(); }));
  }
  const nanoseconds end = other.get();
  CHECK(end == 10ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: cancellation comes before it") {
  auto f = coir::spawn([] {
    const coir::timeout limit(1ms);
    this_fiber::sleep_for(1h);
  });
  this_fiber::yield();
  compute(2ms);
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
}

TEST_CASE_METHOD(virtual_time, "timeout: a scope may end during unwinding by the timeout itself") {
  const bool caught = throws<coir::timed_out>([] {
    const coir::timeout outer(1h);
    const coir::timeout inner(1ms);
    this_fiber::sleep_for(2h);
  });
  CHECK(caught);
  this_fiber::sleep_for(2h);
  CHECK(elapsed() == 2h + 1ms);
}

TEST_CASE_METHOD(virtual_time,
                 "timeout: scopes left in another order than they were made in stay what they are") {
  auto outer = std::make_unique<coir::timeout>(1ms);
  auto inner = std::make_unique<coir::timeout>(3ms);
  auto innermost = std::make_unique<coir::timeout>(1h);
  outer.reset();
  this_fiber::sleep_for(2ms);
  inner.reset();
  this_fiber::sleep_for(5ms);
  auto last = std::make_unique<coir::timeout>(1ms);
  innermost.reset();
  CHECK(throws<coir::timed_out>([&] { this_fiber::sleep_for(1h); }));
  last.reset();
  this_fiber::sleep_for(1ms);
  CHECK(elapsed() == 9ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: ends waits that have a deadline of their own, whichever is first") {
  coir::event never_set;
  {
    const coir::timeout limit(2ms);
    CHECK_FALSE(never_set.wait_for(1ms));
    CHECK(throws<coir::timed_out>([&] { never_set.wait_for(5ms); }));
  }
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time, "with_timeout: returns the result in time, nothing otherwise") {
  const std::optional<int> in_time = coir::with_timeout(5ms, [] {
    this_fiber::sleep_for(1ms);
    return 3;
  });
  CHECK(in_time == 3);
  const std::optional<int> late = coir::with_timeout(5ms, [] {
    this_fiber::sleep_for(1h);
    return 3;
  });
  CHECK(late == std::nullopt);
  CHECK(elapsed() == 6ms);
  const bool done = coir::with_timeout(5ms, [] {});
  const bool not_done = coir::with_timeout(5ms, [] { this_fiber::sleep_for(1h); });
  CHECK(done);
  CHECK_FALSE(not_done);
}

TEST_CASE_METHOD(virtual_time, "with_timeout: of zero runs what does not wait") {
  const std::optional<int> quick = coir::with_timeout(0s, [] { return 1; });
  CHECK(quick == 1);
  const bool waited = coir::with_timeout(0s, [] { this_fiber::yield(); });
  CHECK_FALSE(waited);
}

TEST_CASE_METHOD(virtual_time, "with_timeout: a timeout of another scope passes through") {
  const coir::timeout outer(1ms);
  bool from_outer = false;
  try {
    coir::with_timeout(1h, [] { this_fiber::sleep_for(2h); });
  } catch (const coir::timed_out& e) {
    from_outer = e.from(outer);
  }
  CHECK(from_outer);
}

TEST_CASE_METHOD(virtual_time, "with_timeout: exceptions of the function pass through, scopes nest") {
  CHECK(throws<std::runtime_error>([] { coir::with_timeout(1ms, [] { throw std::runtime_error("x"); }); }));
  const auto nested =
      coir::with_timeout(10ms, [] { return coir::with_timeout(1ms, [] { this_fiber::sleep_for(5ms); }); });
  REQUIRE(nested.has_value());
  CHECK_FALSE(*nested);
  CHECK(elapsed() == 1ms);
}

namespace {
// As a patched call that has to wait.
int patched_wait() {
  coir::wait::waiter w;
  const int before = coir::wait::interrupt_errno(*w.fiber);
  if (before != 0) return before;
  return coir::wait::error_of(
      coir::wait::park_until(w, "test", coir::base::add_saturated(w.fiber->home->now(), 3600'000'000'000)),
      *w.fiber);
}
}  // namespace

TEST_CASE_METHOD(
    virtual_time,
    "with_timeout: a function whose call was ended, and that returns all the same, was not in time") {
  CHECK_FALSE(coir::with_timeout(5ms, [] { patched_wait(); }));
  CHECK(coir::with_timeout(5ms, [] { return patched_wait(); }) == std::nullopt);
  CHECK(coir::with_timeout(
            5ms, [] { return patched_wait(); }, coir::as_returned) == ETIMEDOUT);
  CHECK(coir::with_timeout(
      5ms, [] { patched_wait(); }, coir::as_returned));
  CHECK(elapsed() == 20ms);
}

TEST_CASE_METHOD(virtual_time, "with_timeout: a function that catches timed_out knows what it returns") {
  const auto caught = coir::with_timeout(5ms, [] {
    try {
      this_fiber::sleep_for(1h);
    } catch (const coir::timed_out&) {
      patched_wait();  // fails as each wait does until the scope is left
      return 1;
    }
    return 2;
  });
  CHECK(caught == 1);
  const auto asked = coir::with_timeout(5ms, [] {
    patched_wait();
    try {
      this_fiber::check_cancelled();
    } catch (const coir::timed_out&) {
      return 1;
    }
    return 2;
  });
  CHECK(asked == 1);
}

TEST_CASE_METHOD(virtual_time, "with_timeout: who is late but was not ended was in time") {
  CHECK(coir::with_timeout(5ms, [&] { compute(10ms); }));
  bool outer_in_time = coir::with_timeout(1h, [&] {
    CHECK_FALSE(coir::with_timeout(5ms, [] { patched_wait(); }));
    const coir::timeout outer(5ms);
    CHECK_FALSE(coir::with_timeout(1h, [] { patched_wait(); }) == false);  // ended by the other
    CHECK(outer.cut_short());
  });
  CHECK(outer_in_time);
}

TEST_CASE_METHOD(virtual_time, "timeout: tells whether it ended a call that may have swallowed it") {
  coir::timeout limit(5ms);
  limit.check();
  CHECK_FALSE(limit.cut_short());
  patched_wait();
  CHECK(limit.cut_short());
  bool mine = false;
  try {
    limit.check();
  } catch (const coir::timed_out& e) {
    mine = e.from(limit);
  }
  CHECK(mine);
  limit.reset(5ms);
  CHECK_FALSE(limit.cut_short());
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  CHECK_FALSE(limit.cut_short());
  limit.reset(5ms);
  patched_wait();
  limit.cancel();
  CHECK_FALSE(limit.cut_short());
}

TEST_CASE_METHOD(virtual_time, "timeout: what C functions of coir answer is an answer by error") {
  CHECK_FALSE(coir::with_timeout(5ms, [] { CHECK(coir_sleep(1'000'000'000'000) == ETIMEDOUT); }));
}

TEST_CASE_METHOD(virtual_time, "timeout: many at once, in fibers, expire in order and exactly") {
  int wrong = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 1; i <= 1000; ++i)
    fibers.push_back(coir::spawn([&, i] {
      const auto d = std::chrono::microseconds((i * 7919) % 1009 + 1);
      const bool in_time = coir::with_timeout(d, [] { this_fiber::sleep_for(1h); });
      if (in_time || elapsed() != d) ++wrong;
    }));
  coir::wait_all(fibers);
  CHECK(wrong == 0);
}

TEST_CASE_METHOD(virtual_time, "timeout: expires at a point of any clock") {
  const coir::timeout limit(time_source::now() + 5ms);
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  CHECK(elapsed() == 5ms);
  const coir::timeout past(time_source::now() - 1h);
  CHECK(past.expired());
}

TEST_CASE_METHOD(virtual_time, "timeout: reset begins anew, sooner or later, also after its end") {
  coir::timeout limit(5ms);
  limit.reset(10ms);
  this_fiber::sleep_for(8ms);
  limit.reset(time_source::now() + 1ms);
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  CHECK(elapsed() == 9ms);
  limit.reset(2ms);
  CHECK_FALSE(limit.expired());
  this_fiber::sleep_for(1ms);
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  CHECK(elapsed() == 11ms);
  limit.cancel();
  limit.reset(0s);
  CHECK(throws<coir::timed_out>([] { this_fiber::yield(); }));
}

TEST_CASE_METHOD(virtual_time,
                 "timeout: reset to a negative time is an invalid argument and changes nothing") {
  coir::timeout limit(5ms);
  const std::string text = thrown_text<std::invalid_argument>([&] { limit.reset(-1s); });
  CHECK(contains(text, "coir::timeout::reset"));
  CHECK(throws<coir::timed_out>([] { this_fiber::sleep_for(1h); }));
  CHECK(elapsed() == 5ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: reset of an outer scope leaves the inner one alone") {
  coir::timeout outer(1ms);
  const coir::timeout inner(3ms);
  outer.reset(1h);
  bool from_inner = false;
  try {
    this_fiber::sleep_for(1h);
  } catch (const coir::timed_out& e) {
    from_inner = e.from(inner);
  }
  CHECK(from_inner);
  CHECK(elapsed() == 3ms);
}

TEST_CASE_METHOD(virtual_time, "timeout: reset by another fiber after it has ended a wait is too late") {
  coir::timeout* scope = nullptr;
  auto waits = coir::spawn([&] {
    coir::timeout t(std::chrono::milliseconds(10));
    scope = &t;
    try {
      coir::this_fiber::sleep_for(std::chrono::seconds(1));
      return false;
    } catch (const coir::timed_out& e) {
      return e.from(t);
    }
  });
  auto heart = coir::spawn([&] {
    // Wakes at the very time; which of the two runs first does not matter.
    coir::this_fiber::sleep_for(std::chrono::milliseconds(10));
    if (!waits.ready()) scope->reset(std::chrono::milliseconds(10));
  });
  CHECK(waits.get());
  heart.join();
}

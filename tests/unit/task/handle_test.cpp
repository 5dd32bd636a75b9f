// Handles: get, join, ready, on_done, and what happens to exceptions.
#include <coir/coir.hpp>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "handle: get waits for the end and returns the result, to all who ask") {
  auto f = coir::spawn([] {
    this_fiber::sleep_for(3ms);
    return std::string("done");
  });
  CHECK_FALSE(f.ready());
  CHECK_FALSE(f.successful());
  std::vector<coir::fiber<bool>> askers;
  for (int i = 0; i < 3; ++i) askers.push_back(coir::spawn([f] { return f.get() == "done"; }));
  const std::string result = f.get();
  CHECK(result == "done");
  CHECK(elapsed() == 3ms);
  CHECK(f.ready());
  CHECK(f.successful());
  for (auto& a : askers) {
    const bool same = a.get();
    CHECK(same);
  }
}

TEST_CASE_METHOD(virtual_time, "handle: a temporary one returns the value, a kept one a reference") {
  auto f = coir::spawn([] { return std::vector<int>{1, 2, 3}; });
  static_assert(std::is_same_v<decltype(f.get()), std::vector<int>&>);
  static_assert(std::is_same_v<decltype(std::move(f).get()), std::vector<int>>);
  f.get().push_back(4);
  CHECK(f.get().size() == 4);
  auto copy = f;
  std::vector<int> value = std::move(f).get();
  CHECK(value.size() == 4);
  CHECK(copy.get().size() == 4);  // others still ask, so it was copied
}

TEST_CASE_METHOD(virtual_time, "handle: get rethrows what left the fiber, each time") {
  auto f = coir::spawn([]() -> int { throw std::runtime_error("broken"); });
  for (int i = 0; i < 3; ++i) {
    const std::string text = thrown_text<std::runtime_error>([&] { f.get(); });
    CHECK(text == "broken");
  }
  CHECK(f.ready());
  CHECK_FALSE(f.successful());
}

TEST_CASE_METHOD(virtual_time, "handle: things that are no std::exception are rethrown too") {
  auto f = coir::spawn([] { throw 42; });
  int value = 0;
  try {
    f.get();
  } catch (int n) {
    value = n;
  }
  CHECK(value == 42);
}

TEST_CASE_METHOD(virtual_time, "handle: join waits for the end and throws nothing of the fiber's") {
  auto f = coir::spawn([] {
    this_fiber::sleep_for(1ms);
    throw std::runtime_error("broken");
  });
  f.join();
  CHECK(f.ready());
  CHECK(elapsed() == 1ms);
  CHECK(f.exception() != nullptr);
}

TEST_CASE_METHOD(virtual_time, "handle: exception is null while it runs and after success") {
  auto f = coir::spawn([] {});
  CHECK(f.exception() == nullptr);
  f.join();
  CHECK(f.exception() == nullptr);
}

TEST_CASE_METHOD(virtual_time, "handle: join_for says whether the fiber ended in time") {
  auto f = coir::spawn([] { this_fiber::sleep_for(10ms); });
  const bool early = f.join_for(4ms);
  CHECK_FALSE(early);
  CHECK(elapsed() == 4ms);
  const bool at_once = f.join_for(0ms);
  CHECK_FALSE(at_once);
  const bool in_time = f.join_for(100ms);
  CHECK(in_time);
  CHECK(elapsed() == 10ms);
  const bool after = f.join_for(0ms);
  CHECK(after);
}

TEST_CASE_METHOD(virtual_time, "handle: join_until takes a point of any clock") {
  auto f = coir::spawn([] { this_fiber::sleep_for(10ms); });
  const bool early = f.join_until(time_source::now() + 9ms);
  CHECK_FALSE(early);
  const bool past = f.join_until(time_source::now() - 9ms);
  CHECK_FALSE(past);
  const bool in_time = f.join_until(time_source::now() + 2ms);
  CHECK(in_time);
}

TEST_CASE_METHOD(virtual_time, "handle: a point at the beginning of time has passed") {
  auto f = coir::spawn([] { this_fiber::sleep_for(10ms); });
  const bool ended = f.join_until(time_source::time_point::min());
  CHECK_FALSE(ended);
  CHECK(elapsed() < 10ms);
  f.join();
}

TEST_CASE_METHOD(virtual_time, "handle: a negative time to join is an invalid argument") {
  auto f = coir::spawn([] {});
  const std::string text = thrown_text<std::invalid_argument>([&] { f.join_for(-1s); });
  INFO(text);
  CHECK(contains(text, "join_for"));
  CHECK(contains(text, "-1"));
  f.join();
}

TEST_CASE_METHOD(virtual_time, "handle: a fiber that joins itself gets an error that names it") {
  coir::fiber<void> self;
  std::string text;
  std::error_code code;
  self = coir::spawn(coir::attributes{.name = "narcissus"}, [&] {
    try {
      self.join();
    } catch (const std::system_error& e) {
      text = e.what();
      code = e.code();
    }
    CHECK(throws<std::system_error>([&] { self.get(); }));
    CHECK(throws<std::system_error>([&] { self.join_for(1s); }));
  });
  self.join();
  INFO(text);
  CHECK(code == std::errc::resource_deadlock_would_occur);
  CHECK(contains(text, "\"narcissus\""));
  CHECK(contains(text, "#" + std::to_string(self.id())));
}

TEST_CASE_METHOD(virtual_time, "handle: one that belongs to no fiber says so") {
  const coir::fiber<int> none;
  CHECK_FALSE(none.valid());
  CHECK(throws<std::logic_error>([&] { none.get(); }));
  CHECK(throws<std::logic_error>([&] { none.join(); }));
  CHECK(throws<std::logic_error>([&] { none.join_for(1s); }));
  CHECK(throws<std::logic_error>([&] { none.join_until(time_source::now()); }));
  CHECK(throws<std::logic_error>([&] { none.ready(); }));
  CHECK(throws<std::logic_error>([&] { none.successful(); }));
  CHECK(throws<std::logic_error>([&] { none.exception(); }));
  CHECK(throws<std::logic_error>([&] { none.cancel(); }));
  CHECK(throws<std::logic_error>([&] { none.raise(1); }));
  CHECK(throws<std::logic_error>([&] { none.on_done([](const coir::fiber<int>&) {}); }));
  CHECK(throws<std::logic_error>([&] { none.id(); }));
  CHECK(throws<std::logic_error>([&] { none.name(); }));
}

TEST_CASE_METHOD(virtual_time, "handle: copies are equal, others are not") {
  auto f = coir::spawn([] {});
  auto g = coir::spawn([] {});
  auto copy = f;
  CHECK(copy == f);
  CHECK_FALSE(g == f);
  auto moved = std::move(copy);
  CHECK(moved == f);
  CHECK_FALSE(copy.valid());
  moved = g;
  CHECK(moved == g);
  moved = coir::fiber<void>();
  CHECK_FALSE(moved.valid());
  coir::wait_all(f, g);
}

TEST_CASE_METHOD(virtual_time, "handle: a fiber without one runs on") {
  int steps = 0;
  coir::spawn([&] {
    for (; steps < 5; ++steps) this_fiber::sleep_for(1ms);
  });
  this_fiber::sleep_for(10ms);
  CHECK(steps == 5);
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time, "on_done: callbacks run in the order of adding, when the fiber has ended") {
  std::string log;
  auto f = coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    log += 'f';
    return 7;
  });
  f.on_done([&](const coir::fiber<int>& ended) { log += ended.ready() && ended.get() == 7 ? 'a' : '?'; });
  f.on_done([&](const coir::fiber<int>& ended) { log += ended == f ? 'b' : '?'; });
  f.join();
  CHECK(log == "fab");
  f.on_done([&](const coir::fiber<int>&) { log += 'c'; });
  CHECK(log == "fabc");
}

TEST_CASE_METHOD(virtual_time, "on_done: a callback gets the result of a fiber without other handles") {
  std::string seen;
  coir::spawn([] { return std::string(100, 'r'); }).on_done([&](const coir::fiber<std::string>& f) {
    seen = f.get();
  });
  settle();
  CHECK(seen == std::string(100, 'r'));
}

TEST_CASE_METHOD(virtual_time, "on_done: a callback sees the exception of a fiber without other handles") {
  std::string seen, err_text;
  {
    const captured_stderr err;
    coir::spawn([]() -> int {
      throw std::runtime_error("for the callback");
    }).on_done([&](const coir::fiber<int>& f) { seen = thrown_text<std::runtime_error>([&] { f.get(); }); });
    settle();
    err_text = err.text();
  }
  CHECK(seen == "for the callback");
  CHECK(err_text == "");  // it was seen
}

TEST_CASE_METHOD(virtual_time, "on_done: a callback that throws is reported and does not stop the others") {
  bool second = false;
  std::string text;
  {
    const captured_stderr err;
    auto f = coir::spawn(coir::attributes{.name = "noisy"}, [] {});
    f.on_done([](const coir::fiber<void>&) { throw std::runtime_error("from the callback"); });
    f.on_done([&](const coir::fiber<void>&) { second = true; });
    f.join();
    text = err.text();
  }
  CHECK(second);
  INFO(text);
  CHECK(contains(text, "\"noisy\""));
  CHECK(contains(text, "std::runtime_error: from the callback"));
}

TEST_CASE_METHOD(virtual_time, "on_done: a callback's state is destroyed once it ran") {
  auto state = std::make_shared<int>(1);
  auto f = coir::spawn([] {});
  f.on_done([state](const coir::fiber<void>&) {});
  CHECK(state.use_count() == 2);
  f.join();
  CHECK(state.use_count() == 1);
}

TEST_CASE_METHOD(virtual_time, "on_done: runs for cancelled fibers too") {
  bool called = false;
  auto f = coir::spawn([] {});
  f.on_done([&](const coir::fiber<void>& ended) { called = !ended.successful(); });
  f.cancel();
  f.join();
  CHECK(called);
}

TEST_CASE_METHOD(virtual_time, "on_done: a callback takes its handle in whatever way") {
  int sum = 0;
  auto f = coir::spawn([] { return 2; });
  f.on_done([&](auto& ended) { sum += ended.get(); });
  f.on_done([&](auto&& ended) { sum += ended.get(); });
  f.on_done([&](coir::fiber<int> ended) { sum += ended.get(); });
  f.on_done([&](const coir::fiber<int>& ended) { sum += ended.get(); });
  f.join();
  CHECK(sum == 8);
}

TEST_CASE_METHOD(virtual_time, "handle: times that are no numbers are invalid arguments") {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  const std::chrono::duration<double> d(none);
  auto f = coir::spawn([] { this_fiber::sleep_for(1s); });
  CHECK(throws<std::invalid_argument>([&] { f.join_for(d); }));
  CHECK(throws<std::invalid_argument>([&] { this_fiber::sleep_for(d); }));
  CHECK(throws<std::invalid_argument>([&] { const coir::timeout t(d); }));
  CHECK(throws<std::invalid_argument>([&] { coir::queue<int>().pop_for(d); }));
  CHECK(elapsed() == 0ns);
  using point = std::chrono::time_point<virtual_time::time_source, std::chrono::duration<double>>;
  CHECK_FALSE(f.join_until(point(d)));  // it has passed, as far as anybody can say
  CHECK(elapsed() == 0ns);
  f.join();
}

namespace {
struct coarse {
  using duration = std::chrono::hours;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<coarse>;
  static time_point now() { return time_point(1h); }
};
}  // namespace

TEST_CASE_METHOD(virtual_time, "handle: the end of time of a coarse clock has not come") {
  bool woke = false;
  auto f = coir::spawn([&] {
    this_fiber::sleep_until(std::chrono::time_point<virtual_time::time_source, std::chrono::hours>::max());
    woke = true;
  });
  auto g = coir::spawn([&] {
    this_fiber::sleep_until(coarse::time_point::max());
    woke = true;
  });
  this_fiber::sleep_for(24h);
  CHECK_FALSE(woke);
  f.cancel();
  g.cancel();
  f.join();
  g.join();
}

TEST_CASE_METHOD(virtual_time, "sleep_until: a past point lets the others run") {
  bool ran = false;
  auto f = coir::spawn([&] { ran = true; });
  this_fiber::sleep_until(virtual_time::time_source::now() - 1h);
  CHECK(ran);
  f.join();
}

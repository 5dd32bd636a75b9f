#include <coir/coir.hpp>

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

template <class F>
std::error_code future_error_of(F&& f) {
  try {
    f();
  } catch (const std::future_error& e) {
    return e.code();
  }
  return {};
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "promise: its value reaches all who wait for it, and who come later") {
  coir::promise<std::string> p;
  const coir::future<std::string> f = p.get_future();
  CHECK(f.valid());
  CHECK_FALSE(f.ready());
  std::vector<coir::fiber<std::string>> waiters;
  for (int i = 0; i < 3; ++i) waiters.push_back(coir::spawn([f] { return f.get(); }));
  settle();
  p.set_value(3U, 'x');
  CHECK(f.ready());
  for (auto& w : waiters) {
    const std::string text = w.get();
    CHECK(text == "xxx");
  }
  CHECK(p.get_future().get() == "xxx");
  CHECK(&f.get() == &p.get_future().get());
}

TEST_CASE_METHOD(virtual_time, "promise: its exception is rethrown to all") {
  coir::promise<int> p;
  const auto f = p.get_future();
  p.set_exception(std::make_exception_ptr(std::runtime_error("no value")));
  for (int i = 0; i < 2; ++i) {
    const std::string text = thrown_text<std::runtime_error>([&] { f.get(); });
    CHECK(text == "no value");
  }
  f.wait();
}

TEST_CASE_METHOD(virtual_time, "promise: is set once") {
  coir::promise<int> p;
  p.set_value(1);
  CHECK(future_error_of([&] { p.set_value(2); }) == std::future_errc::promise_already_satisfied);
  const auto error = std::make_exception_ptr(1);
  CHECK(future_error_of([&] { p.set_exception(error); }) == std::future_errc::promise_already_satisfied);
  CHECK(p.get_future().get() == 1);
  const auto moved = std::move(p);
  CHECK(future_error_of([&] { p.set_value(2); }) == std::future_errc::no_state);
  CHECK(future_error_of([&] { p.set_exception(error); }) == std::future_errc::no_state);
}

TEST_CASE_METHOD(virtual_time, "promise: refuses no exception at all, and stays to be set") {
  coir::promise<int> p;
  CHECK(throws<std::invalid_argument>([&] { p.set_exception(nullptr); }));
  p.set_value(1);
  CHECK(p.get_future().get() == 1);
}

TEST_CASE_METHOD(virtual_time, "promise: one that was dropped is broken") {
  coir::future<int> f;
  {
    coir::promise<int> p;
    f = p.get_future();
    coir::promise<int> q(std::move(p));
    CHECK_FALSE(f.ready());
  }
  CHECK(f.ready());
  CHECK(future_error_of([&] { f.get(); }) == std::future_errc::broken_promise);

  coir::promise<int> p;
  f = p.get_future();
  p = coir::promise<int>();
  CHECK(future_error_of([&] { f.get(); }) == std::future_errc::broken_promise);
}

TEST_CASE_METHOD(virtual_time, "promise: a future of none says so") {
  const coir::future<int> f;
  CHECK_FALSE(f.valid());
  CHECK(future_error_of([&] { f.get(); }) == std::future_errc::no_state);
  CHECK(future_error_of([&] { f.wait(); }) == std::future_errc::no_state);
  CHECK(future_error_of([&] { f.wait_for(1ms); }) == std::future_errc::no_state);
  CHECK(future_error_of([&] { (void)f.ready(); }) == std::future_errc::no_state);
}

TEST_CASE_METHOD(virtual_time, "promise: timed waits say whether it is ready") {
  coir::promise<void> p;
  const auto f = p.get_future();
  CHECK_FALSE(f.wait_for(1ms));
  CHECK_FALSE(f.wait_until(time_source::now() + 1ms));
  CHECK(elapsed() == 2ms);
  CHECK(throws<std::invalid_argument>([&] { f.wait_for(-1ms); }));
  p.set_value();
  CHECK(f.wait_for(0ms));
  f.get();
}

TEST_CASE_METHOD(virtual_time, "promise: holds what can only be moved") {
  coir::promise<std::unique_ptr<int>> p;
  auto f = p.get_future();
  p.set_value(std::make_unique<int>(4));
  const std::unique_ptr<int> taken = std::move(f.get());
  CHECK(*taken == 4);
}

TEST_CASE_METHOD(virtual_time, "promise: the future outlives it") {
  coir::future<std::string> f;
  {
    coir::promise<std::string> p;
    f = p.get_future();
    p.set_value("kept");
  }
  CHECK(f.get() == "kept");
}

TEST_CASE_METHOD(virtual_time,
                 "promise: a value whose constructor throws does not leave the others waiting") {
  struct throws_when_made {
    throws_when_made() { throw std::runtime_error("constructor"); }
  };
  coir::future<throws_when_made> f;
  {
    coir::promise<throws_when_made> p;
    f = p.get_future();
    CHECK(throws<std::runtime_error>([&] { p.set_value(); }));
  }
  CHECK(f.wait_for(1ms));  // broken at the latest when the promise went
}

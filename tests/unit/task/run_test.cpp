#include <coir/coir.hpp>

#include <memory>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "run: returns what the function returns, when every fiber has ended") {
  bool late_one_ended = false;
  const int result = coir::run([&] {
    coir::spawn([&] {
      this_fiber::sleep_for(1s);
      coir::spawn([&] {
        this_fiber::sleep_for(1s);
        late_one_ended = true;
      });
    });
    return 5;
  });
  CHECK(result == 5);
  CHECK(late_one_ended);
  CHECK(elapsed() == 2s);
}

TEST_CASE_METHOD(virtual_time, "run: void, move-only and reference results work") {
  coir::run([] {});
  const auto p = coir::run([] { return std::make_unique<int>(3); });
  CHECK(*p == 3);
}

TEST_CASE_METHOD(virtual_time, "run: throws what left the function, after the others have ended") {
  bool ended = false;
  const std::string text = thrown_text<std::runtime_error>([&] {
    coir::run([&] {
      coir::spawn([&] {
        this_fiber::sleep_for(1ms);
        ended = true;
      });
      throw std::runtime_error("from run");
    });
  });
  CHECK(text == "from run");
  CHECK(ended);
}

TEST_CASE_METHOD(virtual_time, "run: waits for fibers spawned before it too") {
  bool ended = false;
  coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    ended = true;
  });
  coir::run([] {});
  CHECK(ended);
}

TEST_CASE_METHOD(virtual_time, "run: may be called again") {
  int total = 0;
  for (int i = 0; i < 3; ++i) total += coir::run([i] { return i; });
  CHECK(total == 3);
}

TEST_CASE_METHOD(virtual_time, "run: on a fiber it is a logic error, and the function does not run") {
  bool ran = false;
  auto f = coir::spawn([&] { coir::run([&] { ran = true; }); });
  CHECK(throws<std::logic_error>([&] { f.get(); }));
  settle();
  CHECK_FALSE(ran);
}

TEST_CASE_METHOD(virtual_time, "run: a limit around it ends it in time, and the function with it") {
  bool cleaned_up = false, other_ended = false;
  auto other = coir::spawn([&] {
    this_fiber::sleep_for(350ms);
    other_ended = true;
  });
  const auto result = coir::with_timeout(100ms, [&] {
    return coir::run([&] {
      struct last {
        bool& ran;
        ~last() { ran = true; }
      } const at_end{cleaned_up};
      this_fiber::sleep_for(1h);
      return 1;
    });
  });
  CHECK_FALSE(result);
  CHECK(elapsed() == 100ms);
  CHECK(cleaned_up);
  CHECK_FALSE(other_ended);
  other.join();
}

TEST_CASE_METHOD(virtual_time, "run: its result is had though a limit passes at the last moment") {
  const auto result = coir::with_timeout(10ms, [&] {
    return coir::run([&] {
      this_fiber::sleep_for(1ms);
      compute(20ms);
      return 1;
    });
  });
  CHECK(result == 1);
}

TEST_CASE_METHOD(virtual_time, "run: may be called again after it was interrupted") {
  CHECK_FALSE(coir::with_timeout(1ms, [] { coir::run([] { this_fiber::sleep_for(1h); }); }));
  CHECK(coir::run([] { return 3; }) == 3);
}

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

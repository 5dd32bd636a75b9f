// Shields: clean-up that may wait.
#include <coir/coir.hpp>

#include <string>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "shield: keeps cancellation away until it is left") {
  std::string log;
  auto f = coir::spawn([&] {
    {
      const this_fiber::shield outer;
      {
        const this_fiber::shield inner;
        this_fiber::sleep_for(1ms);
        log += "a";
      }
      this_fiber::check_cancelled();
      this_fiber::yield();
      this_fiber::sleep_for(1ms);
      log += "b";
    }
    this_fiber::sleep_for(1ms);
    log += "c";
  });
  this_fiber::yield();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(log == "ab");
  CHECK(elapsed() == 2ms);
}

TEST_CASE_METHOD(virtual_time, "shield: timeouts made inside it work") {
  bool inner_expired = false;
  auto f = coir::spawn([&] {
    const this_fiber::shield quiet;
    const bool in_time = coir::with_timeout(1ms, [] { this_fiber::sleep_for(1h); });
    inner_expired = !in_time;
  });
  this_fiber::yield();
  f.cancel();
  f.join();
  CHECK(inner_expired);
  CHECK(elapsed() == 1ms);
}

TEST_CASE_METHOD(virtual_time, "shield: timeouts around it wait for its end") {
  nanoseconds finished_at{}, thrown_at{};
  auto f = coir::spawn([&] {
    const coir::timeout limit(1ms);
    try {
      {
        const this_fiber::shield quiet;
        this_fiber::sleep_for(5ms);
        finished_at = elapsed();
      }
      this_fiber::sleep_for(5ms);
    } catch (const coir::timed_out& e) {
      if (e.from(limit)) thrown_at = elapsed();
    }
  });
  f.join();
  CHECK(finished_at == 5ms);
  CHECK(thrown_at == 5ms);
}

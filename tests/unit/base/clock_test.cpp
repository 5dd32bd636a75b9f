#include "base/clock.hpp"

#include "catch.hpp"

using namespace coir::base;

TEST_CASE("clock: adding never passes the end of time") {
  CHECK(add_saturated(1, 2) == 3);
  CHECK(add_saturated(never, 1) == never);
  CHECK(add_saturated(never - 1, 1) == never);
  CHECK(add_saturated(5, never) == never);
}

TEST_CASE("clock: a timespec survives the way there and back") {
  const nanoseconds ns = GENERATE(nanoseconds{0}, 1, 999'999'999, 1'000'000'000, 1'234'567'890'123);
  const timespec t = to_timespec(ns);
  CHECK(t.tv_nsec < 1'000'000'000);
  CHECK(from_timespec(t) == ns);
}

TEST_CASE("clock: a timespec beyond 64 bits means never") {
  timespec t = {};
  t.tv_sec = 10'000'000'000;
  CHECK(from_timespec(t) == never);
}

TEST_CASE("clock: a timespec before 64 bits is long past, and every distance from it is a number") {
  timespec t = {};
  t.tv_sec = GENERATE(-5'000'000'000L, -9'223'372'036L, -9'223'372'037L, std::numeric_limits<long>::min());
  t.tv_nsec = 5;
  CHECK(from_timespec(t) == long_past);
  t.tv_sec = 4'000'000'000;
  CHECK(long_past - from_timespec(t) < 0);
  t.tv_sec = -1;
  t.tv_nsec = 0;
  CHECK(from_timespec(t) == -1'000'000'000);
}

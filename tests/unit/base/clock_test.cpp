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

#include "reactor/fd_table.hpp"

#include "catch.hpp"

using namespace coir::reactor;

TEST_CASE("fd_table: makes a state once and finds it again") {
  fd_table table(3);
  CHECK(table.find(7) == nullptr);
  fd_state* s = table.get(7);
  REQUIRE(s != nullptr);
  CHECK(table.get(7) == s);
  CHECK(table.find(7) == s);
  CHECK(table.find(6) == nullptr);
}

TEST_CASE("fd_table: has no state for impossible numbers") {
  fd_table table(0);
  CHECK(table.get(-1) == nullptr);
  CHECK(table.get(most_descriptors) == nullptr);
  CHECK(table.find(-1) == nullptr);
  CHECK(table.find(most_descriptors) == nullptr);
  CHECK(table.get(most_descriptors - 1) != nullptr);
}

TEST_CASE("fd_table: a number of a later generation is made anew") {
  fd_table table(5);
  fd_state* s = table.get(9);
  REQUIRE(s != nullptr);
  s->registered = 1;
  s->drained = true;
  s->hung = true;
  s->kind = fd_kind::tcp;
  fd_owners()[9].generation.fetch_add(1);
  CHECK(table.find(9) == s);
  fd_state* next = table.get(9);
  REQUIRE(next != nullptr);
  CHECK(next->generation == fd_owners()[9].generation.load());
  CHECK(next->registered == 0);
  CHECK_FALSE(next->drained);
  CHECK_FALSE(next->hung);
  CHECK(next->kind == fd_kind::unknown);
}

TEST_CASE("fd_table: marks its thread as a user of the number") {
  fd_owners()[11].users.store(0);
  fd_table table(66);  // slot 66 shares the bit of slot 2
  table.get(11);
  CHECK(fd_owners()[11].users.load() == std::uint64_t{1} << 2);
  fd_owners()[11].users.store(0);
}

TEST_CASE("fd_table: is empty after clear") {
  fd_table table(1);
  table.get(3);
  table.clear();
  CHECK(table.find(3) == nullptr);
}

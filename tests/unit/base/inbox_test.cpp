#include "base/inbox.hpp"

#include "catch.hpp"

using coir::base::inbox;
using coir::base::inbox_node;

TEST_CASE("inbox: gives nodes in the order of pushing") {
  inbox box;
  inbox_node a, b, c;
  CHECK(box.empty());
  CHECK(box.push(&a));
  CHECK_FALSE(box.push(&b));
  CHECK_FALSE(box.push(&c));
  CHECK_FALSE(box.empty());
  const inbox_node* first = box.take_all();
  CHECK(first == &a);
  CHECK(a.next_in_inbox == &b);
  CHECK(b.next_in_inbox == &c);
  CHECK(c.next_in_inbox == nullptr);
}

TEST_CASE("inbox: is empty once everything was taken") {
  inbox box;
  inbox_node a;
  CHECK(box.take_all() == nullptr);
  box.push(&a);
  CHECK(box.take_all() == &a);
  CHECK(box.empty());
  CHECK(box.take_all() == nullptr);
  CHECK(box.push(&a));
  CHECK(box.take_all() == &a);
  CHECK(a.next_in_inbox == nullptr);
}

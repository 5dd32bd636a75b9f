#include "base/list.hpp"

#include <vector>

#include "catch.hpp"

namespace {

struct item : coir::base::list_node {
  explicit item(int n) : number(n) {}
  int number;
};

using items = coir::base::list<item>;

std::vector<int> numbers(items& list) {
  std::vector<int> result;
  for (item* i = list.front(); i != nullptr; i = list.after(i)) result.push_back(i->number);
  return result;
}

}  // namespace

TEST_CASE("list: a new one is empty") {
  items list;
  CHECK(list.empty());
  CHECK(list.front() == nullptr);
  CHECK(list.pop_front() == nullptr);
}

TEST_CASE("list: keeps the order of pushing at either end") {
  item one(1), two(2), three(3);
  items list;
  list.push_back(&two);
  list.push_back(&three);
  list.push_front(&one);
  CHECK(numbers(list) == std::vector{1, 2, 3});
  CHECK(list.pop_front() == &one);
  CHECK_FALSE(one.linked());
  CHECK(two.linked());
  CHECK(numbers(list) == std::vector{2, 3});
}

TEST_CASE("list: an element unlinks itself from any place") {
  item one(1), two(2), three(3);
  items list;
  for (item* i : {&one, &two, &three}) list.push_back(i);
  two.unlink();
  CHECK(numbers(list) == std::vector{1, 3});
  one.unlink();
  three.unlink();
  CHECK(list.empty());
  list.push_back(&two);
  CHECK(numbers(list) == std::vector{2});
}

TEST_CASE("list: append takes over all elements in order") {
  item one(1), two(2), three(3), four(4);
  items front, back, nothing;
  front.push_back(&one);
  front.push_back(&two);
  back.push_back(&three);
  back.push_back(&four);
  front.append(back);
  CHECK(back.empty());
  front.append(nothing);
  CHECK(numbers(front) == std::vector{1, 2, 3, 4});
  nothing.append(front);
  CHECK(front.empty());
  CHECK(numbers(nothing) == std::vector{1, 2, 3, 4});
  four.unlink();
  CHECK(numbers(nothing) == std::vector{1, 2, 3});
}

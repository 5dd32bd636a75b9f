// What the kinds of queue differ in, and what all have in common.
#include <coir/coir.hpp>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

template <class Queue>
std::vector<typename Queue::value_type> drained(Queue& q) {
  std::vector<typename Queue::value_type> items;
  while (auto item = q.try_pop()) items.push_back(*item);
  return items;
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "lifo_queue: gives the newest first") {
  coir::lifo_queue<int> q;
  for (int i = 0; i < 4; ++i) q.push(i);
  CHECK(q.peek() == 3);
  CHECK(drained(q) == std::vector{3, 2, 1, 0});
}

TEST_CASE_METHOD(virtual_time, "priority_queue: gives the greatest first, or what the order says") {
  coir::priority_queue<int> q;
  coir::priority_queue<int, std::greater<>> least;
  for (const int i : {3, 1, 4, 1, 5, 9, 2, 6}) {
    q.push(i);
    least.push(i);
  }
  CHECK(q.peek() == 9);
  CHECK(drained(q) == std::vector{9, 6, 5, 4, 3, 2, 1, 1});
  CHECK(drained(least) == std::vector{1, 1, 2, 3, 4, 5, 6, 9});
}

TEST_CASE_METHOD(virtual_time, "priority_queue: of equal items the oldest is first") {
  using entry = std::pair<int, char>;
  const auto less = [](const entry& a, const entry& b) { return a.first < b.first; };
  coir::priority_queue<entry, decltype(less)> q(100, less);
  for (const char c : {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}) q.push({(c - 'a') % 2, c});
  std::string order;
  while (const auto item = q.try_pop()) order += item->second;
  CHECK(order == "bdfhaceg");
}

#define ALL_KINDS coir::queue<int>, coir::lifo_queue<int>, coir::priority_queue<int>

TEMPLATE_TEST_CASE("queues: a capacity of zero is an invalid argument", "", ALL_KINDS) {
  const std::string text = thrown_text<std::invalid_argument>([] { TestType q(0); });
  INFO(text);
  CHECK(contains(text, "capacity=0"));
}

TEMPLATE_TEST_CASE("queues: tell what they hold and could hold", "", ALL_KINDS) {
  const virtual_time world;
  TestType q(2);
  CHECK(q.capacity() == 2);
  CHECK(q.empty());
  CHECK_FALSE(q.peek());
  q.push(1);
  CHECK(q.peek() == 1);
  CHECK(q.size() == 1);
  CHECK_FALSE(q.full());
  q.push(2);
  CHECK(q.full());
  CHECK(TestType().capacity() == TestType::unbounded);
}

TEMPLATE_TEST_CASE("queues: clear throws away what is inside, as dealt with, and makes room", "", ALL_KINDS) {
  const virtual_time world;
  TestType q(2);
  q.push(1);
  q.push(2);
  auto pusher = coir::spawn([&] { q.push(3); });
  settle();
  CHECK(q.clear() == 2);
  pusher.join();
  CHECK(q.size() == 1);
  const std::optional<int> item = q.pop();
  CHECK(item == 3);
  q.task_done();
  q.join();
  CHECK(q.clear() == 0);
}

TEMPLATE_TEST_CASE("queues: of two poppers one is cancelled, and the other gets the item", "", ALL_KINDS) {
  const virtual_time world;
  TestType q;
  auto doomed = coir::spawn([&] { q.pop(); });
  auto next = coir::spawn([&] { return q.pop(); });
  settle();
  doomed.cancel();
  q.push(1);
  const std::optional<int> item = next.get();
  CHECK(item == 1);
  doomed.join();
  CHECK_FALSE(doomed.successful());
}

TEMPLATE_TEST_CASE("queues: all poppers are cancelled, and the item stays", "", ALL_KINDS) {
  const virtual_time world;
  TestType q;
  auto a = coir::spawn([&] { q.pop(); });
  auto b = coir::spawn([&] { q.pop_for(1h); });
  settle();
  a.cancel();
  b.cancel();
  q.push(1);
  coir::wait_all(a, b);
  CHECK(q.size() == 1);
}

TEMPLATE_TEST_CASE("queues: a cancelled pusher leaves the room to the next", "", ALL_KINDS) {
  const virtual_time world;
  TestType q(1);
  q.push(0);
  auto doomed = coir::spawn([&] { q.push(1); });
  auto next = coir::spawn([&] { q.push(2); });
  settle();
  doomed.cancel();
  const std::optional<int> first = q.pop();
  CHECK(first == 0);
  next.join();
  doomed.join();
  CHECK(drained(q) == std::vector{2});
}

TEMPLATE_TEST_CASE("queues: close wakes all who wait, to pop, to push and to join", "", ALL_KINDS) {
  const virtual_time world;
  TestType empty, full(1);
  full.push(0);
  int refused = 0;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(coir::spawn([&] { refused += !empty.pop(); }));
    fibers.push_back(coir::spawn([&] { refused += !empty.pop_for(1h); }));
    fibers.push_back(coir::spawn([&] { refused += !full.push(1); }));
    fibers.push_back(coir::spawn([&] { refused += !full.push_for(1, 1h); }));
  }
  settle();
  empty.close();
  full.close();
  coir::wait_all(fibers);
  CHECK(refused == 12);
  CHECK(world.elapsed() == 0ms);
  CHECK(full.try_pop() == 0);
}

TEMPLATE_TEST_CASE("queues: join ends with the last task_done, or at its time", "", ALL_KINDS) {
  const virtual_time world;
  TestType q;
  q.push(1);
  CHECK_FALSE(q.join_for(1ms));
  CHECK_FALSE(q.join_until(virtual_time::time_source::now() + 1ms));
  auto joiner = coir::spawn([&] { q.join(); });
  settle();
  q.pop();
  CHECK_FALSE(joiner.ready());
  q.task_done();
  joiner.join();
  CHECK(world.elapsed() == 2ms);
}

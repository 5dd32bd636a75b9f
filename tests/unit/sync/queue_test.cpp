#include <coir/coir.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/throwing_move.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "queue: gives items in the order of pushing, and waits for more") {
  coir::queue<int> q;
  for (int i = 0; i < 3; ++i) CHECK(q.push(i));
  CHECK(q.size() == 3);
  for (int i = 0; i < 3; ++i) {
    const std::optional<int> item = q.pop();
    CHECK(item == i);
  }
  CHECK(q.empty());
  auto pusher = coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    q.push(7);
  });
  const std::optional<int> item = q.pop();
  CHECK(item == 7);
  CHECK(elapsed() == 1ms);
  pusher.join();
}

TEST_CASE_METHOD(virtual_time, "queue: a full one makes pushers wait, in the order of their coming") {
  coir::queue<int> q(2);
  std::string order;
  std::vector<coir::fiber<void>> pushers;
  for (int i = 0; i < 5; ++i)
    pushers.push_back(coir::spawn([&, i] {
      q.push(i);
      order += static_cast<char>('0' + i);
    }));
  settle();
  CHECK(order == "01");
  CHECK(q.size() == 2);
  for (int i = 0; i < 5; ++i) {
    const std::optional<int> item = q.pop();
    CHECK(item == i);
    CHECK(q.size() == (i < 3 ? 2U : static_cast<unsigned>(4 - i)));
  }
  coir::wait_all(pushers);
  CHECK(order == "01234");
}

TEST_CASE_METHOD(virtual_time, "queue: poppers are served in the order of their coming") {
  coir::queue<int> q;
  std::vector<coir::fiber<std::optional<int>>> poppers;
  for (int i = 0; i < 4; ++i) poppers.push_back(coir::spawn([&] { return q.pop(); }));
  settle();
  for (int i = 0; i < 4; ++i) q.push(i);
  CHECK(q.empty());  // each went straight to its popper
  for (int i = 0; i < 4; ++i) {
    const std::optional<int> item = poppers[static_cast<std::size_t>(i)].get();
    CHECK(item == i);
  }
}

TEST_CASE_METHOD(virtual_time, "queue: a capacity of less than one is an invalid argument") {
  for (const int capacity : {0, -1}) {
    const std::string text = thrown_text<std::invalid_argument>([capacity] { coir::queue<int> q(capacity); });
    INFO(text);
    CHECK(contains(text, "capacity=" + std::to_string(capacity) + ":"));
  }
}

TEST_CASE_METHOD(virtual_time, "queue: try forms never wait") {
  coir::queue<int> q(1);
  CHECK_FALSE(q.try_pop());
  CHECK(q.try_push(1));
  CHECK_FALSE(q.try_push(2));
  CHECK(q.try_pop() == 1);
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "queue: timed forms end at their time") {
  coir::queue<int> q(1);
  CHECK_FALSE(q.pop_for(1ms));
  CHECK_FALSE(q.pop_until(time_source::now() + 1ms));
  CHECK_FALSE(q.pop_until(time_source::now() - 1ms));
  CHECK(q.push_for(1, 0ms));
  CHECK_FALSE(q.push_for(2, 1ms));
  CHECK_FALSE(q.push_until(2, time_source::now() + 1ms));
  CHECK_FALSE(q.push_until(2, time_source::now() - 1ms));
  CHECK(elapsed() == 4ms);
  CHECK(q.pop_for(0ms) == 1);
  CHECK(throws<std::invalid_argument>([&] { q.pop_for(-1ms); }));
  CHECK(throws<std::invalid_argument>([&] { q.push_for(1, -1ms); }));
  CHECK(throws<std::invalid_argument>([&] { q.join_for(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "queue: an item not put in is left as it was") {
  coir::queue<std::unique_ptr<int>> q(1);
  q.push(nullptr);
  auto item = std::make_unique<int>(1);
  CHECK_FALSE(q.try_push(std::move(item)));
  CHECK(item != nullptr);
  CHECK_FALSE(q.push_for(std::move(item), 1ms));
  CHECK(item != nullptr);
  q.close();
  CHECK_FALSE(q.try_push(std::move(item)));
  CHECK(item != nullptr);
}

TEST_CASE_METHOD(virtual_time, "queue: close lets pops drain it, refuses pushes, and wakes who waits") {
  coir::queue<int> q(2);
  q.push(1);
  q.push(2);
  auto pusher = coir::spawn([&] { return q.push(3); });
  settle();
  q.close();
  const bool pushed = pusher.get();
  CHECK_FALSE(pushed);
  CHECK(q.closed());
  CHECK_FALSE(q.push(4));
  CHECK(q.pop() == 1);
  CHECK(q.pop() == 2);
  CHECK_FALSE(q.pop());
  CHECK_FALSE(q.pop());

  coir::queue<int> empty;
  auto popper = coir::spawn([&] { return empty.pop().has_value(); });
  settle();
  empty.close();
  const bool got = popper.get();
  CHECK_FALSE(got);
}

TEST_CASE_METHOD(virtual_time, "queue: cancelled ones neither lose nor take an item") {
  coir::queue<int> q(1);
  auto doomed_popper = coir::spawn([&] { q.pop(); });
  auto popper = coir::spawn([&] { return q.pop(); });
  settle();
  doomed_popper.cancel();
  q.push(1);
  const std::optional<int> first = popper.get();
  CHECK(first == 1);
  q.push(2);
  auto doomed_pusher = coir::spawn([&] { q.push(3); });
  auto pusher = coir::spawn([&] { q.push(4); });
  settle();
  doomed_pusher.cancel();
  const std::optional<int> second = q.pop(), third = q.pop();
  CHECK(second == 2);
  CHECK(third == 4);
  coir::wait_all(doomed_popper, doomed_pusher, pusher);
  CHECK(q.empty());
}

TEST_CASE_METHOD(virtual_time, "queue: join waits until every item that went in has been dealt with") {
  coir::queue<int> q;
  q.join();
  for (int i = 0; i < 3; ++i) q.push(i);
  auto worker = coir::spawn([&] {
    while (const auto item = q.pop()) {
      this_fiber::sleep_for(1ms);
      q.task_done();
    }
  });
  const bool early = q.join_for(2ms);
  CHECK_FALSE(early);
  q.join();
  CHECK(elapsed() == 3ms);
  q.close();
  worker.join();
}

TEST_CASE_METHOD(virtual_time,
                 "queue: items that went straight to a popper or came from a waiting pusher count too") {
  coir::queue<int> q(1);
  auto popper = coir::spawn([&] { q.pop(); });
  settle();
  q.push(1);
  q.push(2);
  auto pusher = coir::spawn([&] { q.push(3); });
  settle();
  q.pop();
  q.pop();
  coir::wait_all(popper, pusher);
  for (int i = 0; i < 3; ++i) q.task_done();
  CHECK(throws<std::logic_error>([&] { q.task_done(); }));
  q.join();
}

TEST_CASE_METHOD(virtual_time, "queue: several may join, all are woken") {
  coir::queue<int> q;
  q.push(1);
  std::vector<coir::fiber<void>> joiners;
  for (int i = 0; i < 3; ++i) joiners.push_back(coir::spawn([&] { q.join(); }));
  settle();
  q.pop();
  q.task_done();
  coir::wait_all(joiners);
}

TEST_CASE_METHOD(virtual_time, "queue: a move that throws loses neither the item nor the one who waits") {
  coir::queue<throwing_move> q;
  auto popper = coir::spawn([&] {
    auto item = q.pop();
    return item ? item->value : -1;
  });
  settle();
  throwing_move item(1);
  throwing_move::armed = true;
  CHECK(throws<std::runtime_error>([&] { q.try_push(std::move(item)); }));
  CHECK(q.try_push(std::move(item)));
  const bool in_time = popper.join_for(1ms);
  CHECK(in_time);
  if (!in_time) {
    q.close();
    popper.cancel();
  } else {
    const int value = popper.get();
    CHECK(value == 1);
  }
}

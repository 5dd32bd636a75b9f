#include <coir/coir.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/throwing_move.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "channel: a push waits for a pop, and a pop for a push") {
  coir::channel<int> c;
  bool pushed = false;
  auto pusher = coir::spawn([&] { pushed = c.push(1); });
  settle();
  CHECK_FALSE(pusher.ready());
  const std::optional<int> first = c.pop();
  CHECK(first == 1);
  pusher.join();
  CHECK(pushed);
  auto popper = coir::spawn([&] { return c.pop(); });
  settle();
  CHECK(c.push(2));
  const std::optional<int> second = popper.get();
  CHECK(second == 2);
}

TEST_CASE_METHOD(virtual_time, "channel: both sides are served in the order of their coming") {
  coir::channel<int> c;
  std::vector<coir::fiber<void>> pushers;
  for (int i = 0; i < 4; ++i) pushers.push_back(coir::spawn([&, i] { c.push(i); }));
  settle();
  for (int i = 0; i < 4; ++i) {
    const std::optional<int> item = c.pop();
    CHECK(item == i);
  }
  coir::wait_all(pushers);
  std::vector<coir::fiber<std::optional<int>>> poppers;
  for (int i = 0; i < 4; ++i) poppers.push_back(coir::spawn([&] { return c.pop(); }));
  settle();
  for (int i = 0; i < 4; ++i) c.push(10 + i);
  for (int i = 0; i < 4; ++i) {
    const std::optional<int> item = poppers[static_cast<std::size_t>(i)].get();
    CHECK(item == 10 + i);
  }
}

TEST_CASE_METHOD(virtual_time, "channel: try forms succeed only if the other side waits") {
  coir::channel<int> c;
  CHECK_FALSE(c.try_push(1));
  CHECK_FALSE(c.try_pop());
  auto popper = coir::spawn([&] { return c.pop(); });
  settle();
  CHECK(c.try_push(2));
  CHECK_FALSE(c.try_push(3));
  const std::optional<int> item = popper.get();
  CHECK(item == 2);
  auto pusher = coir::spawn([&] { c.push(4); });
  settle();
  CHECK(c.try_pop() == 4);
  CHECK_FALSE(c.try_pop());
  pusher.join();
}

TEST_CASE_METHOD(virtual_time, "channel: timed forms end at their time") {
  coir::channel<int> c;
  CHECK_FALSE(c.push_for(1, 1ms));
  CHECK_FALSE(c.pop_for(1ms));
  CHECK_FALSE(c.push_until(1, time_source::now() + 1ms));
  CHECK_FALSE(c.pop_until(time_source::now() + 1ms));
  CHECK_FALSE(c.pop_until(time_source::now() - 1ms));
  CHECK_FALSE(c.push_until(1, time_source::now() - 1ms));
  CHECK(elapsed() == 4ms);
  CHECK(throws<std::invalid_argument>([&] { c.pop_for(-1ms); }));
  CHECK(throws<std::invalid_argument>([&] { c.push_for(1, -1ms); }));
}

TEST_CASE_METHOD(virtual_time, "channel: an item not taken is left as it was") {
  coir::channel<std::unique_ptr<int>> c;
  auto item = std::make_unique<int>(1);
  CHECK_FALSE(c.try_push(std::move(item)));
  CHECK(item != nullptr);
  CHECK_FALSE(c.push_for(std::move(item), 1ms));
  CHECK(item != nullptr);
  c.close();
  CHECK_FALSE(c.push_for(std::move(item), 1ms));
  CHECK(item != nullptr);
}

TEST_CASE_METHOD(virtual_time, "channel: cancelled ones neither lose nor take an item") {
  coir::channel<int> c;
  auto doomed_popper = coir::spawn([&] { c.pop(); });
  auto popper = coir::spawn([&] { return c.pop(); });
  settle();
  doomed_popper.cancel();
  CHECK(c.push(1));
  const std::optional<int> first = popper.get();
  CHECK(first == 1);
  auto doomed_pusher = coir::spawn([&] { c.push(2); });
  auto pusher = coir::spawn([&] { c.push(3); });
  settle();
  doomed_pusher.cancel();
  const std::optional<int> second = c.pop();
  CHECK(second == 3);
  coir::wait_all(doomed_popper, doomed_pusher, pusher);
}

TEST_CASE_METHOD(virtual_time, "channel: an item handed over before the cancellation arrives") {
  coir::channel<int> c;
  std::optional<int> got;
  auto popper = coir::spawn([&] {
    got = c.pop();
    this_fiber::yield();
  });
  settle();
  CHECK(c.try_push(5));
  popper.cancel();
  CHECK(throws<coir::cancelled>([&] { popper.get(); }));
  CHECK(got == 5);
}

TEST_CASE_METHOD(virtual_time, "channel: close wakes all who wait, and ends it") {
  coir::channel<int> c;
  std::vector<coir::fiber<bool>> poppers;
  for (int i = 0; i < 3; ++i) poppers.push_back(coir::spawn([&] { return c.pop().has_value(); }));
  settle();
  CHECK_FALSE(c.closed());
  c.close();
  CHECK(c.closed());
  for (auto& f : poppers) {
    const bool got = f.get();
    CHECK_FALSE(got);
  }
  CHECK_FALSE(c.push(1));
  CHECK_FALSE(c.try_push(1));
  CHECK_FALSE(c.pop());
  c.close();

  coir::channel<int> other;
  auto pusher = coir::spawn([&] { return other.push(1); });
  settle();
  other.close();
  const bool pushed = pusher.get();
  CHECK_FALSE(pushed);
  CHECK_FALSE(other.pop());  // the item was not taken
}

TEST_CASE_METHOD(virtual_time, "channel: a move that throws loses neither the item nor the one who waits") {
  coir::channel<throwing_move> c;
  auto popper = coir::spawn([&] {
    auto item = c.pop();
    return item ? item->value : -1;
  });
  settle();
  throwing_move item(1);
  throwing_move::armed = true;
  CHECK(throws<std::runtime_error>([&] { c.try_push(std::move(item)); }));
  settle();
  CHECK_FALSE(popper.ready());
  const bool pushed = c.try_push(std::move(item));
  CHECK(pushed);
  if (!pushed) popper.cancel();
  const bool in_time = popper.join_for(1ms);
  CHECK(in_time);
  if (in_time) {
    const int value = popper.get();
    CHECK(value == 1);
  }
}

TEST_CASE_METHOD(virtual_time, "channel: fibers play ping-pong through two of them") {
  coir::channel<int> ping, pong;
  auto player = coir::spawn([&] {
    while (const auto ball = ping.pop()) pong.push(*ball + 1);
    pong.close();
  });
  int ball = 0;
  for (int i = 0; i < 1000; ++i) {
    ping.push(ball);
    ball = *pong.pop();
  }
  ping.close();
  CHECK_FALSE(pong.pop());
  player.join();
  CHECK(ball == 1000);
}

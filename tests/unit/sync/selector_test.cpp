#include <coir/coir.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
using coir::after;
using coir::on_pop;
using coir::on_push;
using coir::on_set;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "selector: waits again and again for any number of cases") {
  std::vector<std::unique_ptr<coir::queue<int>>> queues;
  coir::selector s;
  long sum = 0;
  for (std::size_t i = 0; i < 100; ++i) {
    queues.push_back(std::make_unique<coir::queue<int>>());
    CHECK(s.add(on_pop(*queues[i], [&](std::optional<int> item) { sum += *item; })) == i);
  }
  CHECK(s.size() == 100);
  auto pusher = coir::spawn([&] {
    for (std::size_t i = 0; i < 100; ++i) {
      queues[99 - i]->push(static_cast<int>(i));
      if (i % 3 == 0) this_fiber::yield();
    }
  });
  for (int i = 0; i < 100; ++i) s.wait();
  CHECK(sum == 99 * 100 / 2);
  pusher.join();
}

TEST_CASE_METHOD(virtual_time, "selector: cases come and go, also from handlers") {
  coir::queue<int> q;
  coir::event e;
  coir::selector s;
  std::string ran;
  CHECK(throws<std::logic_error>([&] { s.wait(); }));
  const std::size_t first = s.add(on_set(e, [&] {
    ran += 'e';
    s.remove(0);
    s.add(on_pop(q, [&](auto item) { ran += std::to_string(*item); }));
  }));
  CHECK(first == 0);
  e.set();
  CHECK(s.wait() == 0);
  CHECK(s.size() == 1);
  q.push(5);
  CHECK(s.wait() == 1);
  CHECK(ran == "e5");
  CHECK(throws<std::out_of_range>([&] { s.remove(0); }));
  CHECK(throws<std::out_of_range>([&] { s.remove(7); }));
}

TEST_CASE_METHOD(virtual_time, "selector: a push happens once") {
  coir::queue<std::unique_ptr<int>> q;
  coir::selector s;
  s.add(on_push(q, std::make_unique<int>(3)));
  s.add(after(1ms));
  CHECK(s.wait() == 0);
  CHECK(s.size() == 1);
  CHECK(s.wait() == 1);
  CHECK(q.size() == 1);
  const auto item = q.pop();
  CHECK(**item == 3);
}

TEST_CASE_METHOD(virtual_time, "selector: each case that is possible is as likely as any other") {
  const auto spread = [](std::size_t cases, const std::vector<std::size_t>& ready) {
    std::vector<std::unique_ptr<coir::event>> events;
    coir::selector s;
    for (std::size_t i = 0; i < cases; ++i) {
      events.push_back(std::make_unique<coir::event>());
      s.add(on_set(*events.back()));
    }
    for (const std::size_t i : ready) events[i]->set();
    std::vector<int> times(cases);
    for (int i = 0; i < 20'000; ++i) ++times[s.wait()];
    int least = 20'000, most = 0;
    for (const std::size_t i : ready) {
      least = std::min(least, times[i]);
      most = std::max(most, times[i]);
    }
    return static_cast<double>(least) / most;
  };
  // With 4,000 each at the least, two thirds are out of reach of chance.
  CHECK(spread(2, {0, 1}) > 0.66);
  CHECK(spread(10, {0, 1}) > 0.66);
  CHECK(spread(4, {2, 3}) > 0.66);
  CHECK(spread(100, {0, 1, 2, 3, 4}) > 0.66);
  CHECK(spread(100, {0, 1, 50}) > 0.66);
}

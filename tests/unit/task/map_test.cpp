// map and map_unordered.
#include <coir/coir.hpp>

#include <algorithm>
#include <forward_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/number_source.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "support/throwing_move.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

int slept(int ms) {
  this_fiber::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}

template <class Mapping>
std::vector<int> all_of(Mapping&& results) {
  std::vector<int> all;
  while (std::optional<int> r = results.next()) all.push_back(*r);
  return all;
}

std::vector<int> numbers(int n) {
  std::vector<int> all;
  for (int i = 0; i < n; ++i) all.push_back(i);
  return all;
}

// How many are inside at once.
struct crowd {
  int now = 0, most = 0;

  struct visit {
    crowd& c;
    explicit visit(crowd& in) : c(in) { c.most = std::max(c.most, ++c.now); }
    ~visit() { --c.now; }
  };
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "map: gives the results in the order of the items, calls run at once") {
  CHECK(all_of(coir::map(std::vector{30, 10, 20}, slept, 3)) == std::vector{30, 10, 20});
  CHECK(elapsed() == 30ms);
}

TEST_CASE_METHOD(virtual_time, "map_unordered: gives each result as soon as it is there") {
  const std::vector<int> items = {30, 10, 20};
  std::vector<int> order;
  for (const int r : coir::map_unordered(items, slept, 3)) {
    order.push_back(r);
    CHECK(elapsed() == std::chrono::milliseconds(r));
  }
  CHECK(order == std::vector{10, 20, 30});
}

TEST_CASE_METHOD(virtual_time,
                 "map: no more than the limit are in work at once, and no fewer if there is work") {
  const bool ordered = GENERATE(true, false);
  const int limit = GENERATE(1, 2, 7, 100);
  crowd c;
  const auto work = [&](int i) {
    const crowd::visit inside(c);
    this_fiber::sleep_for(10ms);
    return i;
  };
  const std::vector<int> items = numbers(100);
  std::vector<int> results =
      ordered ? all_of(coir::map(items, work, limit)) : all_of(coir::map_unordered(items, work, limit));
  if (!ordered) std::sort(results.begin(), results.end());
  CHECK(results == items);
  CHECK(c.most == limit);
  CHECK(elapsed() == 10ms * ((100 + limit - 1) / limit));
}

TEST_CASE_METHOD(virtual_time, "map: an exception of one item surfaces at that item, and the rest go on") {
  const bool ordered = GENERATE(true, false);
  const auto work = [](int i) {
    slept(i);
    if (i % 2 == 1) throw std::runtime_error("item " + std::to_string(i));
    return i;
  };
  const std::vector<int> items = {4, 1, 2, 3, 0};
  std::string log;
  const auto take = [&](auto results) {
    for (bool more = true; more;) {
      try {
        const std::optional<int> r = results.next();
        more = r.has_value();
        if (more) log += std::to_string(*r) + " ";
      } catch (const std::runtime_error& e) {
        log += std::string(e.what()) + " ";
      }
    }
  };
  if (ordered)
    take(coir::map(items, work, 5));
  else
    take(coir::map_unordered(items, work, 5));
  CHECK(log == (ordered ? "4 item 1 2 item 3 0 " : "0 item 1 2 item 3 4 "));
}

TEST_CASE_METHOD(virtual_time, "map: what an item throws leaves a loop over the results") {
  int taken = 0;
  const std::string text = thrown_text<std::runtime_error>([&] {
    for (const int r : coir::map(
             numbers(10), [](int i) { return i < 3 ? i : throw std::runtime_error("third"); }, 2))
      taken += r + 1;
  });
  CHECK(text == "third");
  CHECK(taken == 6);
}

TEST_CASE_METHOD(virtual_time, "map: nothing begins before the first result is asked for") {
  int calls = 0, read = 0;
  auto results = coir::map(
      endless_numbers(read), [&](std::unique_ptr<int>) { ++calls; }, 3);
  settle();
  CHECK(calls == 0);
  CHECK(read == 0);
}

TEST_CASE_METHOD(virtual_time, "map: the input is read only as far as results are taken") {
  constexpr int limit = 4;
  const bool ordered = GENERATE(true, false);
  const int window = ordered ? 2 * limit : limit;
  const bool waits = GENERATE(true, false);
  int read = 0;
  const auto work = [&](std::unique_ptr<int> n) { return waits ? slept(1), *n : *n; };
  const auto take = [&](auto results) {
    for (int taken = 0; taken < 20; ++taken) {
      const std::optional<int> r = results.next();
      this_fiber::sleep_for(50ms);  // a slow consumer
      REQUIRE(r.has_value());
      if (ordered) REQUIRE(*r == taken);
      REQUIRE(read <= taken + 1 + window);
    }
    CHECK(read == 20 + window);  // and they did go on meanwhile
  };
  if (ordered)
    take(coir::map(endless_numbers(read), work, limit));
  else
    take(coir::map_unordered(endless_numbers(read), work, limit));
}

TEST_CASE_METHOD(virtual_time, "map: fibers are made only as calls wait") {
  std::size_t most = 0;
  const auto count = [&](int i) {
    most = std::max(most, coir::inspect::fiber_count());
    return i;
  };
  CHECK(all_of(coir::map(numbers(5000), count, 1000)) == numbers(5000));
  CHECK(most == 2);
  CHECK(all_of(coir::map(
            numbers(5000), [](int i) { return slept(1), i; }, 1000)) == numbers(5000));
}

TEST_CASE_METHOD(virtual_time, "map: the input may wait for its items, and the calls go on meanwhile") {
  coir::channel<int> arrivals;
  auto producer = coir::spawn([&] {
    for (int i = 0; i < 4; ++i) {
      arrivals.push(i);
      this_fiber::sleep_for(10ms);
    }
    arrivals.close();
  });
  number_source input([&] {
    const std::optional<int> i = arrivals.pop();
    return i ? std::make_unique<int>(*i) : nullptr;
  });
  std::vector<nanoseconds> times;
  for (const int i : coir::map(
           input, [](std::unique_ptr<int> n) { return slept(5), *n; }, 3)) {
    times.push_back(elapsed());
    CHECK(elapsed() == 10ms * i + 5ms);
  }
  CHECK(times.size() == 4);
  producer.join();
}

TEST_CASE_METHOD(virtual_time,
                 "map: what reading the input throws surfaces behind the items before it, once") {
  const bool ordered = GENERATE(true, false);
  int read = 0;
  number_source input(
      [&] { return read < 2 ? std::make_unique<int>(read++) : throw std::runtime_error("input"); });
  const auto work = [](std::unique_ptr<int> n) { return slept(*n + 1), *n; };
  std::string log;
  const auto take = [&](auto results) {
    for (int i = 0; i < 5; ++i) {
      try {
        const std::optional<int> r = results.next();
        log += r ? std::to_string(*r) : "-";
      } catch (const std::runtime_error& e) {
        log += e.what();
      }
    }
  };
  if (ordered)
    take(coir::map(input, work, 3));
  else
    take(coir::map_unordered(input, work, 3));
  CHECK(log == (ordered ? "01input--" : "input01--"));
}

TEST_CASE_METHOD(virtual_time, "map: takes lvalues by reference, and passes items that stay as they stand") {
  std::vector<int> items = {1, 2, 3};
  for (const int* p : coir::map(
           items, [](int& i) { return ++i, &i; }, 2))
    CHECK(*p > 1);
  CHECK(items == std::vector{2, 3, 4});
  std::forward_list<std::string> words = {"a", "b"};
  std::string text;
  for (const std::string& w : coir::map(
           words, [](const std::string& s) -> const std::string& { return s; }, 2))
    text += w;
  CHECK(text == "ab");
}

TEST_CASE_METHOD(virtual_time, "map: a function that returns nothing gives one monostate an item") {
  int sum = 0, results = 0;
  for (const std::monostate& nothing : coir::map(
           numbers(5), [&](int i) { sum += i; }, 2)) {
    (void)nothing;
    ++results;
  }
  CHECK(sum == 10);
  CHECK(results == 5);
}

TEST_CASE_METHOD(virtual_time, "map: of nothing is empty, and stays so") {
  auto results = coir::map(std::vector<int>(), slept, 3);
  CHECK_FALSE(results.next().has_value());
  CHECK_FALSE(results.next().has_value());
  CHECK((results.begin() == results.end()));
}

TEST_CASE_METHOD(virtual_time, "map: a limit of zero or less is an invalid argument that names it") {
  const std::string zero = thrown_text<std::invalid_argument>([] { coir::map(numbers(1), slept, 0); });
  const std::string negative =
      thrown_text<std::invalid_argument>([] { coir::map_unordered(numbers(1), slept, -3); });
  CHECK(contains(zero, "coir::map: limit=0"));
  CHECK(contains(negative, "coir::map_unordered: limit=-3"));
}

TEST_CASE_METHOD(virtual_time, "map: left early, it cancels what runs, and waits for the clean-up") {
  int cleaned = 0, ended = 0;
  const auto work = [&](int i) {
    try {
      slept(i);
    } catch (const coir::cancelled&) {
      const this_fiber::shield clean_up;
      slept(5);
      ++cleaned;
      throw;
    }
    ++ended;
    return i;
  };
  for (const int r : coir::map_unordered(std::vector{100, 1, 200, 300}, work, 3)) {
    CHECK(r == 1);
    break;
  }
  CHECK(ended == 1);
  CHECK(cleaned == 2);  // there was no room for the fourth before the first result was taken
  CHECK(elapsed() == 6ms);
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time, "map: results nobody took are destroyed, and what was not called never is") {
  CHECK(counted::instances == 0);
  {
    auto results = coir::map(
        numbers(100), [](int) { return counted(); }, 10);
    results.next();
    CHECK(counted::instances > 0);
  }
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "map: a cancelled consumer leaves everything clean") {
  const bool ordered = GENERATE(true, false);
  int cancelled_calls = 0;
  const auto work = [&](int i) {
    try {
      return slept(1000 + i);
    } catch (const coir::cancelled&) {
      ++cancelled_calls;
      throw;
    }
  };
  auto consumer = coir::spawn([&] {
    if (ordered)
      all_of(coir::map(numbers(10), work, 4));
    else
      all_of(coir::map_unordered(numbers(10), work, 4));
  });
  settle();
  consumer.cancel();
  CHECK(throws<coir::cancelled>([&] { consumer.get(); }));
  CHECK(cancelled_calls == 4);
  CHECK(elapsed() == 0ms);
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time, "map: a consumer whose time is over goes on where it was") {
  auto results = coir::map(std::vector{10, 20}, slept, 2);
  CHECK_FALSE(coir::with_timeout(5ms, [&] { results.next(); }));
  CHECK(all_of(std::move(results)) == std::vector{10, 20});
  CHECK(elapsed() == 20ms);
}

TEST_CASE_METHOD(virtual_time, "map: an item that ends as cancelled says so, and its fiber works on") {
  auto victim = coir::spawn([] { slept(1000); });
  this_fiber::yield();
  victim.cancel();
  victim.join();
  auto results = coir::map(
      numbers(3), [&](int i) { return i == 1 ? victim.get(), 0 : i; }, 1);
  const auto first = results.next();
  CHECK(throws<coir::cancelled>([&] { results.next(); }));
  const auto third = results.next();
  CHECK(first == 0);
  CHECK(third == 2);
}

TEST_CASE_METHOD(virtual_time, "map: a result whose move throws costs that result only") {
  auto results = coir::map(
      numbers(3), [](int i) { return throwing_move(i); }, 3);
  const auto first = results.next();
  throwing_move::armed = true;
  CHECK(throws<std::runtime_error>([&] { results.next(); }));
  const auto third = results.next();
  REQUIRE(first.has_value());
  REQUIRE(third.has_value());
  CHECK(first->value == 0);
  CHECK(third->value == 2);
  CHECK_FALSE(results.next().has_value());
}

TEST_CASE_METHOD(virtual_time, "map: nested, and maps of maps' results") {
  const auto row = [](int i) {
    int sum = 0;
    for (const int r : coir::map(
             numbers(i + 1), [](int j) { return slept(j), j; }, 2))
      sum += r;
    return sum;
  };
  auto rows = coir::map(numbers(4), row, 2);
  CHECK(all_of(coir::map(
            rows, [](int sum) { return sum * 10; }, 2)) == std::vector{0, 10, 30, 60});
}

TEST_CASE_METHOD(virtual_time, "map: several fibers may take results") {
  auto results = coir::map(
      numbers(50), [](int i) { return slept(i % 5), i; }, 8);
  std::vector<coir::fiber<std::size_t>> takers;
  for (int i = 0; i < 3; ++i) takers.push_back(coir::spawn([&] { return all_of(results).size(); }));
  std::size_t taken = 0;
  for (const std::size_t n : coir::gather(takers)) taken += n;
  CHECK(taken == 50);
}

TEST_CASE_METHOD(virtual_time, "map: other fibers get their turn while calls do not wait") {
  int turns = 0;
  auto other = coir::spawn([&] {
    for (;; ++turns) this_fiber::yield();
  });
  CHECK(all_of(coir::map(
                   numbers(100'000), [](int i) { return i; }, fibers_at_once(50'000)))
            .size() == 100'000);
  other.cancel();
  other.join();
  CHECK(turns > 90);  // two fibers of the mapping, of which each makes at most 512 calls before it gives way
}

TEST_CASE_METHOD(virtual_time, "map: a million empty tasks") {
  std::vector<int> items(1'000'000);
  std::size_t taken = 0;
  for (const int r : coir::map(
           items, [](int i) { return i; }, 1000))
    taken += static_cast<std::size_t>(r) + 1;
  CHECK(taken == 1'000'000);
}

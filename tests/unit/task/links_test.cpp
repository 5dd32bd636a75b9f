// Callbacks of a fiber's end that are taken back.
#include <coir/coir.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "links: one that was taken back is not called, the others are, in order") {
  std::string log;
  auto f = coir::spawn([] {});
  std::vector<std::uint64_t> ids;
  for (const char c : {'a', 'b', 'c', 'd'})
    ids.push_back(f.on_done([&log, c](const coir::fiber<void>&) { log += c; }));
  CHECK(f.remove_on_done(ids[1]));
  CHECK(f.remove_on_done(ids[3]));
  f.join();
  CHECK(log == "ac");
}

TEST_CASE_METHOD(virtual_time, "links: taking one back twice, or after the end, says so") {
  auto f = coir::spawn([] {});
  const auto first = f.on_done([](const coir::fiber<void>&) {});
  const auto second = f.on_done([](const coir::fiber<void>&) {});
  CHECK(f.remove_on_done(first));
  CHECK_FALSE(f.remove_on_done(first));
  f.join();
  CHECK_FALSE(f.remove_on_done(second));
  const auto late = f.on_done([](const coir::fiber<void>&) {});
  CHECK_FALSE(f.remove_on_done(late));
  CHECK_FALSE(f.remove_on_done(12345));
}

TEST_CASE_METHOD(virtual_time, "links: the state of one that was taken back is destroyed at once") {
  auto state = std::make_shared<int>(1);
  auto f = coir::spawn([] {});
  const auto id = f.on_done([state](const coir::fiber<void>&) {});
  CHECK(state.use_count() == 2);
  f.remove_on_done(id);
  CHECK(state.use_count() == 1);
  f.join();
}

TEST_CASE_METHOD(virtual_time, "links: a callback takes back one that comes after it, and adds one") {
  std::string log;
  auto f = coir::spawn([] {});
  std::uint64_t second = 0;
  bool taken = false;
  f.on_done([&](const coir::fiber<void>& ended) {
    log += '1';
    taken = ended.remove_on_done(second);
    ended.on_done([&](const coir::fiber<void>&) { log += 'n'; });  // after those there are
  });
  second = f.on_done([&](const coir::fiber<void>&) { log += '2'; });
  f.on_done([&](const coir::fiber<void>&) { log += '3'; });
  f.join();
  CHECK(taken);
  CHECK(log == "13n");
}

TEST_CASE_METHOD(virtual_time, "links: those added after the end fire, also if others threw before") {
  std::string log;
  const captured_stderr err;
  auto f = coir::spawn([] {});
  f.on_done([](const coir::fiber<void>&) { throw std::runtime_error("first"); });
  f.on_done([&](const coir::fiber<void>&) { log += 'a'; });
  f.join();
  f.on_done([](const coir::fiber<void>&) { throw std::runtime_error("late"); });
  f.on_done([&](const coir::fiber<void>&) { log += 'b'; });
  CHECK(log == "ab");
  CHECK(contains(err.text(), "first"));
  CHECK(contains(err.text(), "late"));
}

TEST_CASE_METHOD(virtual_time,
                 "links: a fiber cancelled before its first run never runs, and its links fire") {
  std::string log;
  auto f = coir::spawn([&] { log += "ran"; });
  for (const char c : {'a', 'b'})
    f.on_done([&log, c](const coir::fiber<void>& ended) {
      if (throws<coir::cancelled>([&] { ended.get(); })) log += c;
    });
  f.cancel();
  f.join();
  CHECK(log == "ab");
}

TEST_CASE_METHOD(virtual_time, "links: a handle of no fiber has none to take back") {
  CHECK(throws<std::logic_error>([] { coir::fiber<int>().remove_on_done(1); }));
}

TEST_CASE_METHOD(virtual_time, "links: a fiber spawned inside a catch sees no current exception") {
  bool seen = true, own = false;
  coir::fiber<void> child;
  try {
    throw std::runtime_error("being handled");
  } catch (const std::runtime_error&) {
    child = coir::spawn([&] { seen = std::current_exception() != nullptr; });
    child.join();
    own = std::current_exception() != nullptr;
  }
  CHECK_FALSE(seen);
  CHECK(own);
}

TEST_CASE_METHOD(virtual_time, "links: a callback may wait; the fiber has ended all the same") {
  std::string log;
  auto f = coir::spawn([] { return std::string("a result that is not small enough for no memory"); });
  f.on_done([&](const auto&) {
    this_fiber::yield();
    this_fiber::sleep_for(std::chrono::milliseconds(5));
    log += "waited";
  });
  f.join();
  CHECK(f.ready());
  CHECK(log.empty());
  this_fiber::sleep_for(std::chrono::milliseconds(10));
  CHECK(f.ready());
  CHECK(f.successful());
  CHECK(log == "waited");
}

TEST_CASE_METHOD(virtual_time, "links: a callback of a fiber without handles may wait") {
  bool waited = false;
  coir::spawn([] {}).on_done([&](const auto&) {
    for (int i = 0; i < 3; ++i) this_fiber::yield();
    waited = true;
  });
  this_fiber::sleep_for(std::chrono::milliseconds(1));
  CHECK(waited);
}

TEST_CASE_METHOD(virtual_time, "links: those of a cancelled fiber use what suspends") {
  coir::queue<int> q(1);
  const auto push = [&](const auto&) { q.push(1); };
  auto unbegun = coir::spawn([] {});
  auto parked = coir::spawn([] { this_fiber::sleep_for(std::chrono::hours(1)); });
  unbegun.on_done(push);
  unbegun.cancel();
  unbegun.join();
  parked.on_done(push);  // has to wait for room
  this_fiber::yield();
  parked.cancel();
  parked.join();
  CHECK(q.pop() == 1);
  CHECK(q.pop() == 1);
  this_fiber::yield();  // the callback ends
}

TEST_CASE_METHOD(virtual_time, "spawn: what a fiber that never ran was to call is destroyed undisturbed") {
  struct pushes_at_its_end {
    coir::queue<int>* q;
    explicit pushes_at_its_end(coir::queue<int>& to) : q(&to) {}
    pushes_at_its_end(pushes_at_its_end&& other) noexcept : q(std::exchange(other.q, nullptr)) {}
    ~pushes_at_its_end() {
      if (q != nullptr) q->push(1);
    }
    void operator()() const {}
  };
  coir::queue<int> q;
  auto f = coir::spawn(pushes_at_its_end(q));
  f.cancel();
  f.join();
  CHECK(q.size() == 1);
}

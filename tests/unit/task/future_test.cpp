#include <coir/coir.hpp>

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;

TEST_CASE_METHOD(virtual_time, "future: callbacks run in order when it is ready, and at once after that") {
  coir::promise<int> p;
  std::string log;
  const auto add = [&](const char* what) {
    p.get_future().on_done(
        [&log, what](const coir::future<int>& f) { log += what + std::to_string(f.get()) + " "; });
  };
  add("a");
  add("b");
  CHECK(log.empty());
  p.set_value(7);
  CHECK(log == "a7 b7 ");
  add("c");
  CHECK(log == "a7 b7 c7 ");
}

TEST_CASE_METHOD(virtual_time, "future: a callback that another one adds comes after those that were there") {
  std::string log;
  const auto add_three = [&](const auto& handle) {
    handle.on_done([&log](const auto& ended) {
      log += "1";
      ended.on_done([&log](const auto&) { log += "3"; });
    });
    handle.on_done([&log](const auto&) { log += "2"; });
  };
  coir::promise<int> p;
  add_three(p.get_future());
  p.set_value(1);
  CHECK(log == "123");
  auto f = coir::spawn([] {});
  add_three(f);
  f.join();
  coir::this_fiber::yield();
  CHECK(log == "123123");
}

TEST_CASE_METHOD(virtual_time, "future: those who wait are woken before the callbacks run") {
  coir::promise<void> p;
  bool ready = false;
  p.get_future().on_done([&](const coir::future<void>& f) {
    f.wait();  // does not
    ready = f.ready();
  });
  p.set_exception(std::make_exception_ptr(std::runtime_error("no")));
  CHECK(ready);
}

TEST_CASE_METHOD(virtual_time, "future: a callback that throws is reported, and the others run") {
  coir::promise<int> p;
  int called = 0;
  std::string text;
  {
    const captured_stderr err;
    p.get_future().on_done([](const auto&) { throw std::runtime_error("from a callback"); });
    p.get_future().on_done([&](const auto&) { ++called; });
    p.set_value(1);
    p.get_future().on_done([](const auto&) { throw 5; });
    text = err.text();
  }
  CHECK(called == 1);
  CHECK(text ==
        "coir: a callback of a future threw std::runtime_error: from a callback\n"
        "coir: a callback of a future threw int: no text\n");
}

TEST_CASE_METHOD(virtual_time, "future: a callback may drop the last of its futures and promises") {
  auto p = std::make_unique<coir::promise<std::string>>();
  auto f = std::make_unique<coir::future<std::string>>(p->get_future());
  std::string got;
  f->on_done([&](const coir::future<std::string>& ready) {
    p.reset();
    f.reset();
    if (ready.successful()) got = ready.get();
  });
  f->on_done([&](const coir::future<std::string>& ready) {
    if (ready.successful()) got += ready.get();
  });
  SECTION("set") {
    p->set_value("set");
    CHECK(got == "setset");
  }
  SECTION("cancelled") {
    f->cancel();
    CHECK(got.empty());
  }
}

TEST_CASE_METHOD(virtual_time, "future: callbacks of one that never becomes ready are destroyed with it") {
  counted::instances = 0;
  struct unmade : coir::detail::promise_state<int> {};
  coir::future<int>(std::make_shared<unmade>()).on_done([c = counted()](const auto&) {});
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "future: cancelling ends it, and what is set afterwards is ignored") {
  coir::promise<int> p;
  const auto f = p.get_future();
  auto waiting = coir::spawn([f] { return throws<coir::cancelled>([&] { f.get(); }); });
  int called = 0;
  f.on_done([&](const coir::future<int>& done) { called += done.cancelled(); });
  settle();
  CHECK_FALSE(f.cancelled());
  CHECK(f.cancel());
  CHECK(f.cancelled());
  CHECK(f.ready());
  CHECK_FALSE(f.successful());
  CHECK(called == 1);
  CHECK_FALSE(f.cancel());
  const bool heard = waiting.get();
  CHECK(heard);
  p.set_value(1);
  p.set_exception(std::make_exception_ptr(1));
  CHECK(f.cancelled());
}

TEST_CASE_METHOD(virtual_time, "future: one that is ready cannot be cancelled") {
  coir::promise<int> p;
  p.set_value(3);
  CHECK_FALSE(p.get_future().cancel());
  CHECK_FALSE(p.get_future().cancelled());
  CHECK(p.get_future().get() == 3);
}

TEST_CASE_METHOD(virtual_time, "future: tells its exception without throwing it") {
  coir::promise<int> p;
  const auto f = p.get_future();
  CHECK(f.exception() == nullptr);
  CHECK_FALSE(f.successful());
  const auto error = std::make_exception_ptr(std::runtime_error("told"));
  p.set_exception(error);
  CHECK(f.exception() == error);
  CHECK_FALSE(f.successful());
  coir::promise<void> q;
  q.set_value();
  CHECK(q.get_future().exception() == nullptr);
  CHECK(q.get_future().successful());
}

TEST_CASE_METHOD(virtual_time, "future: holds a reference") {
  coir::promise<int&> p;
  int value = 1;
  p.set_value(value);
  p.get_future().get() = 2;
  CHECK(value == 2);
}

TEST_CASE_METHOD(virtual_time, "future: one of nothing says so") {
  const coir::future<int> none;
  const auto says_so = [](auto f) {
    try {
      f();
    } catch (const std::future_error& e) {
      return e.code() == std::future_errc::no_state;
    }
    return false;
  };
  CHECK(says_so([&] { none.cancel(); }));
  CHECK(says_so([&] { none.cancelled(); }));
  CHECK(says_so([&] { none.exception(); }));
  CHECK(says_so([&] { none.successful(); }));
  CHECK(says_so([&] { none.on_done([](const auto&) {}); }));
}

namespace {

struct link_log {
  std::string text;
  static void run(void* c) { static_cast<link_log*>(c)->text += "run "; }
  static void drop(void* c) noexcept { static_cast<link_log*>(c)->text += "drop "; }
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "future: a link runs once, unless it was removed") {
  coir::promise<int> p;
  const auto f = p.get_future();
  link_log kept, taken, late;
  void* a = coir::detail::add_link(f, link_log::run, link_log::drop, &kept);
  void* b = coir::detail::add_link(f, link_log::run, link_log::drop, &taken);
  CHECK(a != nullptr);
  CHECK(coir::detail::remove_link(f, b));
  p.set_value(1);
  CHECK(kept.text == "run drop ");
  CHECK(taken.text.empty());
  CHECK_FALSE(coir::detail::remove_link(f, a));
  CHECK(coir::detail::add_link(f, link_log::run, link_log::drop, &late) == nullptr);
  CHECK(late.text == "run drop ");
}

TEST_CASE_METHOD(virtual_time, "future: a chain of callbacks may be longer than a stack is deep") {
  constexpr int length = 100'000;
  std::vector<coir::promise<int>> chain(length);
  int called = 0;
  for (int i = 0; i < length; ++i)
    chain[static_cast<std::size_t>(i)].get_future().on_done([&, i](const auto& f) {
      ++called;
      if (i + 1 < length) chain[static_cast<std::size_t>(i + 1)].set_value(f.get() + 1);
    });
  auto f = coir::spawn([&] { chain[0].set_value(0); });
  f.join();
  CHECK(called == length);
  CHECK(chain.back().get_future().get() == length - 1);
}

TEST_CASE_METHOD(virtual_time,
                 "future: callbacks of one that a callback makes ready come after that callback") {
  coir::promise<int> first, second;
  std::string log;
  second.get_future().on_done([&](const auto&) { log += "second "; });
  first.get_future().on_done([&](const auto&) {
    log += "[ ";
    second.set_value(2);
    CHECK(second.get_future().get() == 2);  // ready all the same
    second.get_future().on_done([&](const auto&) { log += "late "; });
    log += "] ";
  });
  first.get_future().on_done([&](const auto&) { log += "other "; });
  first.set_value(1);
  CHECK(log == "[ ] other second late ");
}

TEST_CASE_METHOD(virtual_time, "future: a callback that waits keeps nobody else's from being called") {
  coir::promise<int> p, q;
  bool called = false;
  p.get_future().on_done([](const auto&) { coir::this_fiber::sleep_for(1ms); });
  q.get_future().on_done([&](const auto&) { called = true; });
  auto waits = coir::spawn([&] { p.set_value(1); });
  auto sets = coir::spawn([&] { q.set_value(2); });
  sets.join();
  CHECK(called);
  CHECK_FALSE(waits.ready());
  waits.join();
}

TEST_CASE_METHOD(virtual_time, "future: a callback waits for one that it makes ready itself") {
  coir::promise<int> p;
  std::vector<coir::promise<int>> others(3);
  std::vector<coir::future<int>> futures;
  for (auto& o : others) futures.push_back(o.get_future());
  int sum = 0;
  p.get_future().on_done([&](const auto&) {
    auto ended = coir::as_completed(futures);
    for (auto& o : others) o.set_value(5);
    for (const auto& f : ended) sum += f.get();
  });
  p.set_value(1);
  CHECK(sum == 15);
}

TEST_CASE_METHOD(virtual_time, "future: a callback is taken back by its number") {
  coir::promise<int> p;
  std::string log;
  const auto f = p.get_future();
  const auto a = f.on_done([&](const auto&) { log += "a "; });
  const auto kept = std::make_shared<int>(0);
  const auto b = f.on_done([&, kept](const auto&) { log += "b "; });
  std::uint64_t d = 0;
  const auto c = f.on_done([&](const auto& ended) {
    log += "c ";
    CHECK(ended.remove_on_done(d));
  });
  d = f.on_done([&](const auto&) { log += "d "; });
  CHECK(kept.use_count() == 2);
  CHECK(f.remove_on_done(b));
  CHECK(kept.use_count() == 1);
  CHECK_FALSE(f.remove_on_done(b));
  p.set_value(1);
  CHECK(log == "a c ");
  CHECK_FALSE(f.remove_on_done(a));
  CHECK_FALSE(f.remove_on_done(c));
}

TEST_CASE_METHOD(virtual_time, "future: a callback takes its future in whatever way") {
  coir::promise<int> p;
  int sum = 0;
  p.get_future().on_done([&](auto& f) { sum += f.get(); });
  p.get_future().on_done([&](auto&& f) { sum += f.get(); });
  p.get_future().on_done([&](coir::future<int> f) { sum += f.get(); });
  p.get_future().on_done([&](const coir::future<int>& f) { sum += f.get(); });
  p.set_value(2);
  CHECK(sum == 8);
}

// A fiber that computes hears of limits, cancellation and signals at every call that could have waited,
// though none does.
#include <coir/coir.hpp>

#include <functional>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// What the calls need not wait for.
struct plenty {
  coir::queue<int> queue;
  coir::lifo_queue<int> lifo;
  coir::priority_queue<int> priority;
  coir::semaphore semaphore{1};
  coir::mutex mutex;
  coir::recursive_mutex recursive;
  coir::shared_mutex shared;
  coir::event event;
  coir::latch latch{0};
  coir::barrier<> alone{1};
  coir::promise<int> promise;

  plenty() {
    event.set();
    promise.set_value(1);
  }
};

struct call_kind {
  const char* name;
  bool lets_others_run;
  std::function<void(plenty&)> call;
};

const std::vector<call_kind>& call_kinds() {
  static const std::vector<call_kind> all = {
      {"check_cancelled", true, [](plenty&) { this_fiber::check_cancelled(); }},
      {"yield", true, [](plenty&) { this_fiber::yield(); }},
      {"sleep_for none", true, [](plenty&) { this_fiber::sleep_for(0s); }},
      {"sleep_until the past", true,
       [](plenty&) { this_fiber::sleep_until(virtual_time::time_source::now() - 1s); }},
      {"queue push and pop", true,
       [](plenty& p) {
         p.queue.push(1);
         p.queue.pop();
       }},
      {"lifo_queue push and pop", true,
       [](plenty& p) {
         p.lifo.push(1);
         p.lifo.pop();
       }},
      {"priority_queue push and pop", true,
       [](plenty& p) {
         p.priority.push(1);
         p.priority.pop();
       }},
      {"queue pop_for", true,
       [](plenty& p) {
         p.queue.try_push(1);
         p.queue.pop_for(1h);
       }},
      {"semaphore", true,
       [](plenty& p) {
         p.semaphore.acquire();
         p.semaphore.release();
       }},
      {"semaphore for", true,
       [](plenty& p) {
         if (p.semaphore.try_acquire_for(1h)) p.semaphore.release();
       }},
      {"mutex", false, [](plenty& p) { const std::lock_guard held(p.mutex); }},
      {"mutex for", false,
       [](plenty& p) {
         if (p.mutex.try_lock_for(1h)) p.mutex.unlock();
       }},
      {"recursive mutex", false, [](plenty& p) { const std::lock_guard held(p.recursive); }},
      {"shared_mutex to write", false, [](plenty& p) { const std::lock_guard held(p.shared); }},
      {"shared_mutex to read", false, [](plenty& p) { const std::shared_lock held(p.shared); }},
      {"event that is set", true, [](plenty& p) { p.event.wait(); }},
      {"latch that is open", true, [](plenty& p) { p.latch.wait(); }},
      {"barrier of one", false, [](plenty& p) { p.alone.arrive_and_wait(); }},
      {"select of what is ready", true,
       [](plenty& p) { coir::select(coir::on_set(p.event), coir::on_pop(p.queue)); }},
      {"select with otherwise", true,
       [](plenty& p) { coir::select(coir::on_pop(p.queue), coir::otherwise()); }},
      {"wait that is over", true, [](plenty& p) { coir::select(coir::on_pop(p.queue), coir::after(0s)); }},
      {"spawn and join", true, [](plenty&) { coir::spawn([] {}).join(); }},
  };
  return all;
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "hearing: a limit ends who computes at each call that need not wait") {
  for (const call_kind& kind : call_kinds()) {
    plenty p;
    const auto began = elapsed();
    bool heard = false;
    try {
      const coir::timeout limit(10ms);
      for (int i = 0; i < 300; ++i) {
        compute(1ms);
        kind.call(p);
      }
    } catch (const coir::timed_out&) {
      heard = true;
    }
    settle();  // a fiber that was not joined
    INFO(kind.name);
    CHECK(heard);
    CHECK(elapsed() - began <= 12ms);
  }
}

TEST_CASE_METHOD(virtual_time, "hearing: calls that were quick and become slow hear of a limit soon") {
  for (const call_kind& kind : call_kinds()) {
    plenty p;
    const auto began = elapsed();
    bool heard = false;
    try {
      const coir::timeout limit(10ms);
      for (int i = 0; i < 1000; ++i) kind.call(p);
      for (int i = 0; i < 300; ++i) {
        compute(1ms);
        kind.call(p);
      }
    } catch (const coir::timed_out&) {
      heard = true;
    }
    settle();  // a fiber that was not joined
    INFO(kind.name);
    CHECK(heard);
    CHECK(elapsed() - began <= 28ms);  // sixteen calls may pass before the change is seen
  }
}

TEST_CASE_METHOD(virtual_time, "hearing: check_cancelled and expired are exact") {
  const coir::timeout limit(10ms);
  for (int i = 0; i < 1000; ++i) this_fiber::check_cancelled();
  compute(10ms - 1ns);
  CHECK_FALSE(limit.expired());
  this_fiber::check_cancelled();
  compute(1ns);
  CHECK(limit.expired());
  CHECK(throws<coir::timed_out>([] { this_fiber::check_cancelled(); }));
}

TEST_CASE_METHOD(virtual_time, "hearing: expired is asked of an outer scope, too") {
  const coir::timeout outer(5ms);
  const coir::timeout inner(1h);
  compute(5ms);
  CHECK(outer.expired());
  CHECK_FALSE(inner.expired());
}

TEST_CASE_METHOD(virtual_time, "hearing: who computes lets a fiber run that cancels it") {
  for (const call_kind& kind : call_kinds()) {
    if (!kind.lets_others_run) continue;
    plenty p;
    int calls = 0;
    auto computes = coir::spawn([&] {
      for (; calls < 300; ++calls) {
        compute(1ms);
        kind.call(p);
      }
    });
    auto killer = coir::spawn_later(5ms, [&] { computes.cancel(); });
    computes.join();
    killer.join();
    INFO(kind.name);
    CHECK(calls <= 10);
  }
}

TEST_CASE_METHOD(virtual_time,
                 "hearing: a free lock is refused to a cancelled fiber, whatever else there is") {
  for (const bool with_scope : {false, true}) {
    plenty p;
    int refused = 0;
    auto f = coir::spawn([&] {
      const coir::timeout any(with_scope ? 1h : 2h);
      std::optional<coir::timeout> other;
      if (with_scope) other.emplace(1h);
      const auto count = [&](auto&& call) { refused += throws<coir::cancelled>(call) ? 1 : 0; };
      count([] { this_fiber::yield(); });
      count([&] { p.mutex.lock(); });
      count([&] { p.recursive.lock(); });
      count([&] { p.shared.lock(); });
      count([&] { p.shared.lock_shared(); });
      count([&] { (void)p.mutex.try_lock_for(1s); });
    });
    this_fiber::yield();
    f.cancel();
    f.join();
    CHECK(refused == 6);
    CHECK(p.mutex.try_lock());
    p.mutex.unlock();
    CHECK(p.shared.try_lock());
    p.shared.unlock();
  }
}

TEST_CASE_METHOD(virtual_time, "hearing: a consumer of a queue that is never empty lets others run") {
  coir::queue<int> queue;
  for (int i = 0; i < 100'000; ++i) queue.push(i);
  int taken = 0, when = -1;
  auto other = coir::spawn([&] { when = taken; });
  for (; taken < 100'000; ++taken) queue.pop();
  CHECK(when >= 0);
  CHECK(when <= 1024);
  other.join();
}

TEST_CASE_METHOD(virtual_time, "hearing: what is ready is had although a limit is over") {
  coir::promise<int> p;
  p.set_value(5);
  const auto future = p.get_future();
  auto ended = coir::spawn([] { return 6; });
  ended.join();
  const auto of_future = coir::with_timeout(0s, [&] { return future.get(); });
  const auto of_fiber = coir::with_timeout(0s, [&] { return ended.get(); });
  const auto seen = coir::with_timeout(0s, [&] { return future.wait_for(0s); });
  CHECK(of_future == 5);
  CHECK(of_fiber == 6);
  CHECK(seen == true);
  coir::promise<int> never;
  CHECK_FALSE(coir::with_timeout(0s, [&] { return never.get_future().get(); }));
}

TEST_CASE_METHOD(virtual_time, "hearing: what is ready is not had by a fiber that is cancelled") {
  coir::promise<int> p;
  p.set_value(5);
  auto f = coir::spawn([future = p.get_future()] {
    this_fiber::yield();
    return future.get();
  });
  this_fiber::yield();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
}

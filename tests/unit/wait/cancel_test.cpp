// Cancellation (D6).
#include <coir/coir.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/sanitized.hpp"
#include "support/virtual_time.hpp"
#include "wait/wait_kinds.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {
#ifdef UNIT_SANITIZED
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
}  // namespace

TEST_CASE_METHOD(virtual_time, "cancel: ends every kind of wait at once") {
  for (const wait_kind& kind : wait_kinds()) {
    primitives p;
    const auto start = elapsed();
    auto f = coir::spawn([&] { kind.wait(p); });
    settle();
    const bool was_waiting = !f.ready();
    f.cancel();
    const bool thrown = throws<coir::cancelled>([&] { f.get(); });
    INFO(kind.name);
    CHECK(was_waiting);
    CHECK(thrown);
    CHECK(elapsed() == start);
  }
}

TEST_CASE_METHOD(virtual_time, "cancel: every wait fails that begins afterwards") {
  for (const wait_kind& kind : wait_kinds()) {
    primitives p;
    coir::event go;
    auto f = coir::spawn([&] {
      try {
        go.wait();
      } catch (const coir::cancelled&) {
      }
      kind.wait(p);
    });
    this_fiber::yield();
    f.cancel();
    const bool thrown = throws<coir::cancelled>([&] { f.get(); });
    INFO(kind.name);
    CHECK(thrown);
  }
}

TEST_CASE_METHOD(virtual_time, "cancel: stays until the fiber ends") {
  int caught = 0;
  auto f = coir::spawn([&] {
    for (int i = 0; i < 5; ++i) {
      try {
        if (i % 2 == 0)
          this_fiber::sleep_for(1s);
        else
          this_fiber::check_cancelled();
      } catch (const coir::cancelled&) {
        ++caught;
      }
    }
    return 7;
  });
  this_fiber::yield();
  f.cancel();
  f.cancel();
  const int result = f.get();  // it ended as it liked
  CHECK(result == 7);
  CHECK(caught == 5);
  CHECK(f.successful());
}

TEST_CASE_METHOD(virtual_time, "cancel: is no std::exception") {
  bool swallowed = false;
  auto f = coir::spawn([&] {
    try {
      this_fiber::sleep_for(1s);
    } catch (const std::exception&) {
      swallowed = true;
    }
  });
  this_fiber::yield();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK_FALSE(swallowed);
}

TEST_CASE_METHOD(virtual_time, "cancel: a fiber that has not begun never runs") {
  bool ran = false;
  auto token = std::make_shared<int>(0);
  auto f = coir::spawn([&ran, token] { ran = true; });
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK_FALSE(ran);
  CHECK_FALSE(f.successful());
  CHECK(token.use_count() == 1);  // the callable was destroyed all the same
}

TEST_CASE_METHOD(virtual_time, "cancel: has no effect on a fiber that ended") {
  auto f = coir::spawn([] { return 3; });
  f.join();
  f.cancel();
  const int result = f.get();
  CHECK(result == 3);
}

TEST_CASE_METHOD(virtual_time, "cancel: destructors run, and may wait, while the stack unwinds") {
  std::string log;
  struct clean_up {
    std::string& log;
    ~clean_up() {
      this_fiber::sleep_for(1ms);
      log += "cleaned";
    }
  };
  auto f = coir::spawn([&] {
    const clean_up c{log};
    this_fiber::sleep_for(1h);
  });
  this_fiber::yield();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(log == "cleaned");
  CHECK(elapsed() == 1ms);
}

TEST_CASE_METHOD(virtual_time,
                 "cancel: while the stack unwinds, limits made inside end waits, others do not") {
  struct clean_up {
    std::string& log;
    ~clean_up() {
      const bool in_time = coir::with_timeout(2ms, [] { this_fiber::sleep_for(1h); });
      log += in_time ? "slept " : "limited ";
      coir::event never_set;
      log += never_set.wait_for(1ms) ? "set " : "waited ";
      this_fiber::sleep_for(10ms);
      this_fiber::check_cancelled();
      this_fiber::yield();
      log += "rested";
    }
  };
  for (const bool cancels : {true, false}) {
    std::string log;
    const auto began = elapsed();
    auto f = coir::spawn([&] {
      const coir::timeout around(3ms);
      const clean_up c{log};
      if (!cancels) throw std::runtime_error("failed");
      this_fiber::sleep_for(1h);
    });
    this_fiber::yield();
    if (cancels) f.cancel();
    f.join();
    CHECK(log == "limited waited rested");
    CHECK(elapsed() - began == 13ms);
  }
}

TEST_CASE_METHOD(virtual_time,
                 "cancel: destructors within a destructor's own unwinding are not limited by it") {
  std::string log;
  struct inner {
    std::string& log;
    ~inner() {
      this_fiber::sleep_for(5ms);
      log += "inner ";
    }
  };
  struct outer {
    std::string& log;
    ~outer() {
      const bool in_time = coir::with_timeout(2ms, [&] {
        const inner i{log};
        this_fiber::sleep_for(1h);
      });
      log += in_time ? "in time" : "limited";
    }
  };
  auto f = coir::spawn([&] {
    const outer o{log};
    this_fiber::sleep_for(1h);
  });
  this_fiber::yield();
  f.cancel();
  f.join();
  CHECK(log == "inner limited");
  CHECK(elapsed() == 7ms);
}

TEST_CASE_METHOD(virtual_time, "cancel: a fiber cancels itself at its next wait") {
  coir::fiber<int> self;
  self = coir::spawn([&] {
    self.cancel();
    this_fiber::yield();
    return 1;
  });
  CHECK(throws<coir::cancelled>([&] { self.get(); }));
}

TEST_CASE_METHOD(virtual_time, "cancel: the one who waits for a cancelled fiber is not cancelled itself") {
  auto f = coir::spawn([] { this_fiber::sleep_for(1h); });
  auto waiter = coir::spawn([&] {
    f.join();
    this_fiber::sleep_for(1ms);
    return true;
  });
  settle();
  f.cancel();
  const bool went_on = waiter.get();
  CHECK(went_on);
}

TEST_CASE_METHOD(virtual_time, "cancel: a wait that was already won is not taken back") {
  coir::event e;
  bool came = false;
  auto f = coir::spawn([&] {
    e.wait();
    came = true;
    this_fiber::yield();
  });
  this_fiber::yield();
  e.set();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(came);
}

TEST_CASE_METHOD(virtual_time, "cancel: a cancelled condition wait holds the lock when it throws") {
  coir::mutex m;
  coir::condition_variable c;
  bool held = false;
  auto f = coir::spawn([&] {
    std::unique_lock lock(m);
    try {
      c.wait(lock);
    } catch (const coir::cancelled&) {
      held = lock.owns_lock() && !m.try_lock();
      throw;
    }
  });
  this_fiber::yield();
  f.cancel();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
  CHECK(held);
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE_METHOD(virtual_time, "cancel: a cancelled condition wait waits for the lock before it throws") {
  coir::mutex m;
  coir::condition_variable c;
  auto f = coir::spawn([&] {
    std::unique_lock lock(m);
    c.wait(lock);
  });
  this_fiber::yield();
  m.lock();
  f.cancel();
  settle();
  CHECK_FALSE(f.ready());
  m.unlock();
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
}

TEST_CASE_METHOD(virtual_time, "cancel: comes before what was raised, which comes once") {
  std::string log;
  auto f = coir::spawn([&] {
    for (int i = 0; i < 3; ++i) {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::cancelled&) {
        log += 'c';
      } catch (int) {
        log += 'r';
      }
    }
  });
  this_fiber::yield();
  f.raise(1);
  f.cancel();
  f.join();
  CHECK((log == "ccc" || log == "rcc"));
}

// The documentation: "its present or next coir call throws coir::cancelled, and each one after that".
TEST_CASE_METHOD(virtual_time, "cancel: calls that need not wait throw as well") {
  struct kind {
    const char* name;
    std::function<void()> call;
  };
  coir::event set;
  set.set();
  coir::semaphore permits(10);
  coir::queue<int> queue;
  queue.push(1);
  queue.push(2);
  coir::promise<int> promise;
  promise.set_value(1);
  auto ended = coir::spawn([] {});
  ended.join();
  const std::vector<kind> kinds = {
      {"queue push", [&] { queue.push(3); }},
      {"queue pop", [&] { queue.pop(); }},
      {"yield", [] { this_fiber::yield(); }},
      {"sleep of zero", [] { this_fiber::sleep_for(0s); }},
      {"event", [&] { set.wait(); }},
      {"semaphore", [&] { permits.acquire(); }},
      {"future", [&] { promise.get_future().get(); }},
      {"join", [&] { ended.join(); }},
  };
  std::vector<std::string> silent;
  auto f = coir::spawn([&] {
    try {
      this_fiber::sleep_for(1h);
    } catch (const coir::cancelled&) {
    }
    for (const kind& k : kinds)
      if (!throws<coir::cancelled>(k.call)) silent.push_back(k.name);
  });
  this_fiber::yield();
  f.cancel();
  f.join();
  CHECK(silent == std::vector<std::string>());
}

TEST_CASE_METHOD(virtual_time, "cancel: a fiber that does not wait runs on to its next wait") {
  coir::fiber<void> busy;
  std::string log;
  busy = coir::spawn([&] {
    coir::spawn([&] { busy.cancel(); });
    this_fiber::yield();  // not yet cancelled when it is left: the other runs meanwhile
    log += "never";
  });
  auto late = coir::spawn([&] {
    compute(5ms);
    log += "computed ";
    this_fiber::check_cancelled();
    log += "on";
  });
  CHECK(throws<coir::cancelled>([&] { busy.get(); }));
  late.join();
  CHECK(log == "computed on");
}

TEST_CASE_METHOD(virtual_time, "cancel: 100,000 parked fibers at once end in bounded time") {
  constexpr std::size_t count = sanitized ? 2'000 : 100'000;
  const bool with_timers = GENERATE(false, true);
  coir::event never;
  std::size_t cleaned = 0;
  struct clean_up {
    std::size_t& n;
    ~clean_up() { ++n; }
  };
  coir::group g;
  for (std::size_t i = 0; i < count; ++i)
    g.spawn([&, i] {
      const clean_up c{cleaned};
      if (with_timers)
        this_fiber::sleep_for(std::chrono::microseconds(1h) + std::chrono::microseconds(i * 7919 % 100'003));
      else
        never.wait();
    });
  this_fiber::yield();
  const auto start = std::chrono::steady_clock::now();
  const bool all = g.cancel_for(1h);
  const auto took = std::chrono::steady_clock::now() - start;
  CHECK(all);
  CHECK(cleaned == count);
  CHECK(elapsed() == 0ms);
  CHECK(took < 20s);  // anything quadratic takes minutes
}

TEST_CASE_METHOD(virtual_time, "cancel: 100,000 fibers that have not begun end without running") {
  constexpr std::size_t count = sanitized ? 2'000 : 100'000;
  std::size_t ran = 0, called = 0;
  std::vector<coir::fiber<void>> fibers;
  for (std::size_t i = 0; i < count; ++i) {
    fibers.push_back(coir::spawn([&] { ++ran; }));
    fibers.back().on_done([&](const coir::fiber<void>&) { ++called; });
  }
  const bool all = coir::cancel_all_for(fibers, 1h);
  CHECK(all);
  CHECK(ran == 0);
  CHECK(called == count);
}

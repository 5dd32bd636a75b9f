// A thread's scheduler comes with its first fiber and goes with the thread.
#include <fcntl.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/real_time.hpp"
#include "support/sanitized.hpp"
#include "wait/forget.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE("thread end: fibers left are named on stderr, cancelled, and run to their ends") {
  const bool in_reactor = GENERATE(false, true);
  std::string text, log;
  std::optional<coir::fiber<void>> kept;
  {
    const captured_stderr err;
    on_thread([&] {
      if (in_reactor) open_reactor();
      kept = coir::spawn(coir::attributes{.name = "left behind"}, [&] {
        struct clean_up {
          std::string& log;
          ~clean_up() {
            this_fiber::sleep_for(1ms);
            log += "cleaned ";
          }
        } c{log};
        try {
          this_fiber::sleep_for(1h);
        } catch (const coir::cancelled&) {
          log += "cancelled ";
          throw;
        }
      });
      coir::spawn(coir::attributes{.name = "never begun"}, [&] { log += "never "; }).id();
      coir::event e;
      e.wait_for(1ms);  // lets them begin …
      coir::spawn(coir::attributes{.name = "never begun"}, [&] { log += "never "; }).id();
    });
    text = err.text();
  }
  INFO(text);
  CHECK(contains(text, "a thread ends before these fibers of it"));
  CHECK(contains(text, "\"left behind\" parked in sleep"));
  CHECK(contains(text, "\"never begun\""));
  CHECK(log == "never cancelled cleaned ");
  CHECK(kept->ready());
  CHECK(throws<coir::cancelled>([&] { kept->get(); }));
}

TEST_CASE("thread end: a thread without fibers left says nothing") {
  std::string text;
  {
    const captured_stderr err;
    on_thread([] {
      open_reactor();
      coir::spawn([] { this_fiber::sleep_for(1ms); }).join();
    });
    text = err.text();
  }
  CHECK(text == "");
}

TEST_CASE("thread end: nothing of its scheduler stays") {
  const auto one_thread = [] {
    on_thread([] {
      open_reactor();
      std::vector<coir::fiber<void>> fibers;
      for (int i = 0; i < 20; ++i) fibers.push_back(coir::spawn([] { this_fiber::sleep_for(100us); }));
      coir::wait_all(fibers);
    });
  };
  for (int i = 0; i < 5; ++i) one_thread();
  const std::size_t descriptors = open_descriptors(), stacks = coir::context::stacks_carved();
  [[maybe_unused]] const std::size_t mapped = mappings();
  for (int i = 0; i < 100; ++i) one_thread();
  CHECK(open_descriptors() == descriptors);
#ifndef UNIT_SANITIZED  // which map memory of their own for each thread
  CHECK(mappings() <= mapped + 2);
#endif
  CHECK(coir::context::stacks_carved() == stacks);
}

TEST_CASE("thread end: nothing stays of what thread-local objects made after it") {
  const auto one_thread = [] {
    on_thread([] {
      struct waits_at_end {
        bool armed = false;
        ~waits_at_end() {
          open_reactor();
          coir::spawn([] { this_fiber::sleep_for(100us); }).join();
        }
      };
      static thread_local waits_at_end object;
      object.armed = true;
      coir::spawn([] {}).join();
    });
  };
  for (int i = 0; i < 5; ++i) one_thread();
  const std::size_t descriptors = open_descriptors(), stacks = coir::context::stacks_carved();
  for (int i = 0; i < 50; ++i) one_thread();
  CHECK(open_descriptors() == descriptors);
  CHECK(coir::context::stacks_carved() == stacks);
}

TEST_CASE("thread end: thread-local objects may still wait") {
  static std::atomic<bool> waited;
  waited = false;
  on_thread([] {
    struct waits_at_end {
      bool armed = false;
      ~waits_at_end() {
        if (!armed) return;
        coir::event e;
        e.wait_for(1ms);
        coir::spawn([] { this_fiber::sleep_for(1ms); }).join();
        waited = true;
      }
    };
    // Destroyed after the scheduler's own, which was made later.
    static thread_local waits_at_end object;
    object.armed = true;
    coir::spawn([] {}).join();
  });
  CHECK(waited);
}

TEST_CASE("thread end: another thread may close what the thread waited for, at any time") {
  on_thread([] {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    struct closes_at_end {
      int fds[2] = {-1, -1};
      ~closes_at_end() {
        std::thread([this] {
          for (const int fd : fds) coir::wait::close(fd);
        }).join();
      }
    };
    open_reactor();
    CHECK(coir::sched::scheduler::ensure().fds().get(ends[0]) != nullptr);
    // Destroyed before the scheduler, which was made earlier: what the other thread tells it comes too late.
    static thread_local closes_at_end object;
    std::copy_n(ends, 2, object.fds);
  });
}

TEST_CASE("thread: each has its own main fiber, fibers and numbers") {
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 3; ++i)
    on_thread([&] {
      ids.push_back(this_fiber::id());
      CHECK(this_fiber::name() == "main");
      auto f = coir::spawn([] { return this_fiber::id(); });
      CHECK(coir::inspect::fiber_count() == 1);
      ids.push_back(f.get());
    });
  std::sort(ids.begin(), ids.end());
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}

TEST_CASE(
    "thread end: what its main fiber has locked, a thread-local object may unlock after the scheduler") {
  static coir::mutex m;
  on_thread([] {
    struct holder {
      std::unique_lock<coir::mutex> lock{m, std::defer_lock};
    };
    thread_local holder elder;  // than the scheduler
    elder.lock = std::unique_lock(m, std::defer_lock);
    coir::spawn([] {}).join();
    elder.lock.lock();
  });
  CHECK(m.try_lock());
  m.unlock();
}

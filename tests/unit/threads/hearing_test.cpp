// A fiber that computes hears of other threads and of signals at every call that could have waited.
#include <coir/coir.hpp>

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

struct plenty {
  coir::queue<int> queue;
  coir::semaphore semaphore{1};
  coir::mutex mutex;
  coir::shared_mutex shared;
  coir::event event;

  plenty() { event.set(); }
  std::vector<std::function<void()>> calls() {
    return {
        [] { this_fiber::check_cancelled(); },
        [] { this_fiber::yield(); },
        [this] {
          queue.push(1);
          queue.pop();
        },
        [this] {
          semaphore.acquire();
          semaphore.release();
        },
        [this] { const std::lock_guard held(mutex); },
        [this] { const std::lock_guard held(shared); },
        [this] { event.wait(); },
        [this] { event.wait_for(0s); },
        [this] { coir::select(coir::on_set(event), coir::on_pop(queue)); },
    };
  }
};

void compute() {
  const stopwatch since;
  while (since.elapsed() < 100us) {
  }
}

// Whether it is stopped before it has made so many calls as would take seconds.
bool is_stopped(const std::function<void()>& call, coir::event& begun) {
  try {
    for (int i = 0; i < 20'000; ++i) {
      compute();
      call();
      begun.set();
    }
  } catch (const coir::cancelled&) {
    return true;
  }
  return false;
}

}  // namespace

TEST_CASE("hearing: who computes is cancelled by another thread") {
  plenty p;
  for (const auto& call : p.calls()) {
    coir::event begun;
    std::optional<coir::fiber<bool>> f;
    bool stopped = false;
    joined_threads home;
    home.start([&] {
      f = coir::spawn([&] { return is_stopped(call, begun); });
      stopped = f->get();
    });
    begun.wait();
    f->cancel();
    home.join();
    CHECK(stopped);
  }
}

TEST_CASE("hearing: who computes is cancelled by a function that a signal calls") {
  on_thread([] {
    plenty p;
    for (const auto& call : p.calls()) {
      coir::event begun;
      auto f = coir::spawn([&] { return is_stopped(call, begun); });
      const auto handle = coir::on_signal(SIGUSR1, [&](int) { f.cancel(); });
      joined_threads other;
      other.start([&] {
        begun.wait();
        ::kill(::getpid(), SIGUSR1);
      });
      const bool stopped = f.get();
      other.join();
      CHECK(stopped);
    }
  });
}

TEST_CASE("hearing: a wait of no time takes no sleep") {
  on_thread([] {
    if (GENERATE(false, true)) open_reactor();
    coir::event never;
    coir::channel<int> nothing;
    coir::mutex held;
    held.lock();
    const auto sleeps = [] {
      rusage used;
      ::getrusage(RUSAGE_THREAD, &used);
      return used.ru_nvcsw;  // how often the thread has waited for something
    };
    const long before = sleeps();
    for (int i = 0; i < 2'000; ++i) {
      CHECK_FALSE(never.wait_for(0s));
      CHECK_FALSE(nothing.pop_for(0s));
      CHECK_FALSE(held.try_lock_for(0s));
    }
    CHECK(sleeps() - before < 600);
    held.unlock();
  });
}

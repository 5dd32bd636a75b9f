// Cancellation and raised exceptions from another thread.
#include <coir/coir.hpp>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

struct endless {
  coir::event event;
  coir::mutex mutex;
  coir::condition_variable condition;
  coir::mutex free_mutex;
  coir::semaphore semaphore{0};
  coir::channel<int> channel;
  coir::queue<int> queue;

  endless() { mutex.lock(); }
  ~endless() { mutex.unlock(); }

  std::vector<std::function<void()>> waits() {
    return {
        [] { this_fiber::sleep_for(1h); },
        [this] { event.wait(); },
        [this] { mutex.lock(); },
        [this] {
          std::unique_lock lock(free_mutex);
          condition.wait(lock);
        },
        [this] { semaphore.acquire(); },
        [this] { channel.push(1); },
        [this] { channel.pop(); },
        [this] { queue.pop(); },
        [] {
          for (;;) this_fiber::yield();
        },
    };
  }
};

// Runs `wait` in a fiber of another thread, does `act` to it from this one; the exception the fiber ended
// with.
template <class Act>
std::exception_ptr interrupted(const std::function<void()>& wait, bool in_reactor, Act act) {
  std::optional<coir::fiber<void>> f;
  coir::event begun;
  joined_threads home;
  std::exception_ptr error;
  home.start([&] {
    if (in_reactor) open_reactor();
    f = coir::spawn([&] {
      begun.set();
      wait();
    });
    f->join();
    error = f->exception();
  });
  begun.wait();
  act(*f);
  home.join();
  return error;
}

template <class E>
bool is(const std::exception_ptr& error) {
  return error != nullptr && throws<E>([&] { std::rethrow_exception(error); });
}

}  // namespace

TEST_CASE("cancel: from another thread ends every kind of wait") {
  const bool in_reactor = GENERATE(false, true);
  const bool at_once = GENERATE(false, true);
  on_thread([&] {
    endless e;
    int index = 0;
    for (const auto& wait : e.waits()) {
      const std::exception_ptr error = interrupted(wait, in_reactor, [&](coir::fiber<void>& f) {
        if (!at_once) std::this_thread::sleep_for(2ms);
        f.cancel();
      });
      INFO("wait " << index++);
      CHECK(is<coir::cancelled>(error));
    }
  });
}

TEST_CASE("raise: from another thread ends every kind of wait") {
  const bool in_reactor = GENERATE(false, true);
  on_thread([&] {
    endless e;
    int index = 0;
    for (const auto& wait : e.waits()) {
      const std::exception_ptr error = interrupted(
          wait, in_reactor, [](coir::fiber<void>& f) { f.raise(std::runtime_error("from afar")); });
      INFO("wait " << index++);
      CHECK(is<std::runtime_error>(error));
    }
  });
}

TEST_CASE("cancel: from another thread, a fiber that has not begun never runs") {
  std::atomic<bool> ran{false};
  std::optional<coir::fiber<void>> f;
  std::atomic<int> stage{0};
  joined_threads home;
  home.start([&] {
    f = coir::spawn([&] { ran = true; });
    stage = 1;
    while (stage != 2) std::this_thread::yield();
    // The message is read when the thread looks at its inbox, before it runs anything after a turn; what
    // counts is that the fiber ends in one of two ways.
    f->join();
  });
  while (stage != 1) std::this_thread::yield();
  f->cancel();
  stage = 2;
  home.join();
  CHECK((f->successful() == ran));
}

TEST_CASE("cancel: may meet the end of the fiber, and of its thread") {
  for (int i = 0; i < 300; ++i) {
    std::optional<coir::fiber<void>> f;
    std::atomic<bool> spawned{false};
    joined_threads home;
    home.start([&] {
      const auto mine = coir::spawn([] { this_fiber::yield(); });
      f = mine;
      spawned = true;
      mine.join();
    });
    while (!spawned) std::this_thread::yield();
    for (int j = 0; j < i % 7; ++j) f->cancel();
    f->raise(1);
    home.join();
    f->cancel();
    CHECK(f->ready());
    f->exception();
  }
}

TEST_CASE("cancel: comes too late and holds the last reference, and the result's destructor may wait") {
  struct waits_at_end {
    std::atomic<int>* ended;
    ~waits_at_end() {
      this_fiber::sleep_for(2ms);
      ++*ended;
    }
  };
  std::atomic<int> stage{0}, ended{0};
  std::optional<coir::fiber<std::unique_ptr<waits_at_end>>> f;
  bool woken = false;
  joined_threads home;
  home.start([&] {
    coir::event e;
    f = coir::spawn([&] {
      std::unique_ptr<waits_at_end> result(new waits_at_end{&ended});
      stage = 1;
      while (stage != 2) coir::detail::pause();
      return result;
    });
    auto waker = coir::spawn([&] {
      this_fiber::sleep_for(1ms);
      e.set();
    });
    e.wait();  // on this stack the message is read
    woken = true;
    waker.join();
    while (ended == 0) this_fiber::sleep_for(1ms);
  });
  while (stage != 1) std::this_thread::yield();
  f->cancel();
  f.reset();
  stage = 2;
  home.join();
  CHECK(woken);
  CHECK(ended == 1);
}

TEST_CASE("cancel: races with the wake-up it competes with, and exactly one wins") {
  coir::semaphore s(0);
  std::atomic<int> got{0}, cancelled{0};
  constexpr int rounds = 2000;
  for (int i = 0; i < 20; ++i) {
    std::vector<coir::fiber<void>> fibers;
    std::atomic<bool> ready{false};
    joined_threads home;
    home.start([&] {
      for (int j = 0; j < rounds / 20; ++j)
        fibers.push_back(coir::spawn([&] {
          try {
            s.acquire();
            ++got;
          } catch (const coir::cancelled&) {
            ++cancelled;
            throw;
          }
        }));
      this_fiber::yield();
      ready = true;
      for (auto& f : fibers) f.join();
    });
    while (!ready) std::this_thread::yield();
    joined_threads giver;
    giver.start([&] {
      for (int j = 0; j < rounds / 20; ++j) s.release();
    });
    for (auto& f : fibers) f.cancel();
    giver.join();
    home.join();
  }
  CHECK(got + cancelled == rounds);
  CHECK(s.available() == cancelled);
}

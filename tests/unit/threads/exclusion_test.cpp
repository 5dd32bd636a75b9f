// Primitives hold between fibers of several threads and plain threads.
#include <coir/coir.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

constexpr int threads_count = 3;
constexpr int fibers_each = 8;
constexpr int rounds = 1000;

// Runs `work(index)` in fibers of several threads and on plain threads at the same time; the number of runs.
template <class F>
int everywhere(F&& work) {
  std::atomic<int> missing{threads_count + 2};  // nobody begins before all are there
  const auto meet = [&missing] {
    --missing;
    while (missing > 0) std::this_thread::yield();
  };
  joined_threads threads;
  for (int t = 0; t < threads_count; ++t)
    threads.start([&work, &meet, t] {
      if (t % 2 == 0) open_reactor();
      meet();
      std::vector<coir::fiber<void>> fibers;
      for (int i = 0; i < fibers_each; ++i)
        fibers.push_back(coir::spawn([&work, t, i] { work(t * fibers_each + i); }));
      coir::gather(fibers);
    });
  for (int t = 0; t < 2; ++t)
    threads.start([&work, &meet, t] {
      meet();
      work(threads_count * fibers_each + t);
    });
  return threads_count * fibers_each + 2;
}

template <class Mutex>
void counts_exactly() {
  Mutex m;
  long counter = 0;  // not atomic: TSan and the sum would tell
  const int workers = everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      const std::scoped_lock lock(m);
      const long seen = counter;
      if ((i + index) % 50 == 0) this_fiber::yield();
      counter = seen + 1;
    }
  });
  CHECK(counter == long{workers} * rounds);
}

}  // namespace

TEST_CASE("mutex: excludes fibers of several threads and plain threads") {
  SECTION("mutex") {
    counts_exactly<coir::mutex>();
  }
  SECTION("recursive_mutex") {
    counts_exactly<coir::recursive_mutex>();
  }
}

TEST_CASE("mutex: may be unlocked on another thread than it was locked on") {
  coir::mutex m;
  m.lock();
  bool got = false;
  joined_threads threads;
  threads.start([&] {
    const std::scoped_lock lock(m);
    got = true;
  });
  on_thread([&] { m.unlock(); });
  threads.join();
  CHECK(got);
}

TEST_CASE("mutex: timed attempts of several threads end at their time, and no lock is lost") {
  coir::mutex m;
  std::atomic<long> taken{0}, missed{0};
  long counter = 0;
  everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      if (!m.try_lock_for(std::chrono::microseconds((i * 37 + index) % 200))) {
        ++missed;
        continue;
      }
      const std::scoped_lock lock(std::adopt_lock, m);
      ++taken;
      ++counter;
      if (i % 100 == 0) this_fiber::sleep_for(100us);
    }
  });
  CHECK(counter == taken);
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE("semaphore: never lets more in than it has permits, over several threads") {
  coir::semaphore s(3);
  std::atomic<int> inside{0}, most{0};
  everywhere([&](int) {
    for (int i = 0; i < rounds; ++i) {
      s.acquire();
      const int now = ++inside;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      if (i % 20 == 0) this_fiber::yield();
      --inside;
      s.release();
    }
  });
  CHECK(most <= 3);
  CHECK(s.available() == 3);
}

TEST_CASE("condition_variable: a bounded store between threads loses no item") {
  coir::mutex m;
  coir::condition_variable changed;
  std::vector<int> store;
  long sum = 0;
  const int workers = everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      std::unique_lock lock(m);
      if (index % 2 == 0) {
        changed.wait(lock, [&] { return store.size() < 4; });
        store.push_back(1);
      } else {
        changed.wait(lock, [&] { return !store.empty(); });
        sum += store.back();
        store.pop_back();
      }
      changed.notify_all();
    }
  });
  CHECK(sum == long{workers} / 2 * rounds);
  CHECK(store.empty());
}

TEST_CASE("queue: every item pushed by some thread is popped by one") {
  const std::size_t capacity = GENERATE(as<std::size_t>(), 1, 7, coir::queue<int>::unbounded);
  coir::queue<int> q(capacity);
  std::atomic<long> in{0}, out{0};
  const int workers = everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      if (index % 2 == 0) {
        q.push(index * rounds + i);
        in += index * rounds + i;
      } else {
        out += *q.pop();
        q.task_done();
      }
    }
  });
  CHECK(workers % 2 == 0);
  CHECK(in == out);
  CHECK(q.empty());
  on_thread([&] { q.join(); });
}

TEST_CASE("channel: every item pushed by some thread is popped by one") {
  coir::channel<int> c;
  std::atomic<long> in{0}, out{0};
  everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      if (index % 2 == 0) {
        c.push(index * rounds + i);
        in += index * rounds + i;
      } else {
        out += *c.pop();
      }
    }
  });
  CHECK(in == out);
  CHECK_FALSE(c.try_pop());
}

TEST_CASE("queue: close ends poppers and pushers of all threads") {
  coir::queue<int> empty, full(1);
  full.try_push(0);
  std::atomic<int> ended{0};
  joined_threads closer;
  closer.start([&] {
    std::this_thread::sleep_for(10ms);
    empty.close();
    full.close();
  });
  const int workers = everywhere([&](int index) {
    const bool went_through = index % 2 == 0 ? empty.pop().has_value() : full.push(1);
    if (!went_through) ++ended;
  });
  CHECK(ended == workers);
}

TEST_CASE("event: set and reset between threads wake whoever waited") {
  coir::event e;
  std::atomic<int> waiting{0};
  std::atomic<bool> stop{false};
  joined_threads setter;
  setter.start([&] {
    while (!stop) {
      e.set();
      e.reset();
      std::this_thread::yield();
    }
  });
  everywhere([&](int) {
    for (int i = 0; i < 50; ++i) e.wait();
    ++waiting;
  });
  stop = true;
  setter.join();
  CHECK(waiting == threads_count * fibers_each + 2);
}

TEST_CASE("promise: reaches waiters of all threads, and may die at once") {
  for (int i = 0; i < 50; ++i) {
    auto p = std::make_unique<coir::promise<int>>();
    const auto f = p->get_future();
    std::atomic<int> sum{0};
    joined_threads giver;
    giver.start([&] {
      p->set_value(2);
      p.reset();
    });
    const int workers = everywhere([&](int) { sum += f.get(); });
    CHECK(sum == 2 * workers);
  }
}

TEST_CASE("event: may be destroyed by the one it woke, on another thread") {
  for (int i = 0; i < 300; ++i) {
    auto e = std::make_unique<coir::event>();
    coir::event* raw = e.get();
    joined_threads setter;
    setter.start([raw] { raw->set(); });
    on_thread([&] {
      e->wait();
      e.reset();
    });
  }
}

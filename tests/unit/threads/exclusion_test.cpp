// Primitives hold between fibers of several threads and plain threads.
#include <coir/coir.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/everywhere.hpp"
#include "support/process.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

constexpr int rounds = 1000;

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

TEST_CASE("mutex: those who unlock what others hold, or nobody, do no harm to those who hold it") {
  coir::mutex m;
  long counter = 0;  // not atomic
  std::atomic<long> refusals{0}, good{0}, harmed{0};
  const int workers = everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      const bool misuse = (i + index) % 3 == 0;
      try {
        if (!misuse) m.lock();
        if (!misuse) ++counter;
        if (!misuse && i % 50 == 0) this_fiber::yield();
        m.unlock();
        ++(misuse ? harmed : good);
      } catch (const std::system_error&) {
        ++(misuse ? refusals : harmed);
      }
    }
  });
  CHECK(harmed == 0);
  CHECK(good == counter);
  CHECK(refusals + good == long{workers} * rounds);
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE("shared_mutex: excludes writers, and readers from writers, over several threads") {
  coir::shared_mutex m;
  long counter = 0, writes = 0;  // not atomic
  std::atomic<int> readers{0};
  std::atomic<long> together{0};
  everywhere([&](int index) {
    for (int i = 0; i < rounds; ++i) {
      if ((i + index) % 4 == 0) {
        const std::scoped_lock lock(m);
        const long seen = counter;
        if (i % 50 == 0) this_fiber::yield();
        counter = seen + 1;
        ++writes;
        if (readers != 0) ++together;
      } else if ((i + index) % 7 == 0) {
        if (!m.try_lock_shared_for(std::chrono::microseconds(i % 50))) continue;
        m.unlock_shared();
      } else {
        const std::shared_lock lock(m);
        ++readers;
        if (counter != writes) ++together;
        if (i % 50 == 0) this_fiber::yield();
        --readers;
      }
    }
  });
  CHECK(together == 0);
  CHECK(counter == writes);
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE("barrier: nobody is a phase ahead, over several threads") {
  std::atomic<long> arrived{0}, wrong{0};
  long phases = 0;  // not atomic: the completion function is alone
  const auto complete = [&phases]() noexcept { ++phases; };
  coir::barrier b(threads_count * fibers_each + 2, complete);
  const int workers = everywhere([&](int index) {
    for (long i = 0; i < rounds / 10; ++i) {
      ++arrived;
      if (index % 3 == 0)
        b.wait(b.arrive());
      else if (index % 3 == 1)
        b.arrive_and_wait();
      else
        while (!b.arrive_and_wait_for(std::chrono::microseconds(i % 100))) {
        }
      if (arrived < (i + 1) * (threads_count * fibers_each + 2) || phases <= i) ++wrong;
    }
  });
  CHECK(wrong == 0);
  CHECK(phases == rounds / 10);
  CHECK(arrived == long{workers} * (rounds / 10));
}

TEST_CASE("latch: may be destroyed by the one it let through, on another thread") {
  for (int i = 0; i < 300; ++i) {
    auto l = std::make_unique<coir::latch>(2);
    coir::latch* raw = l.get();
    joined_threads counter;
    counter.start([raw] { raw->count_down(); });
    on_thread([&] {
      l->arrive_and_wait();
      l.reset();
    });
  }
}

TEST_CASE("mutex: unlocked by another thread it says so, and stays locked") {
  coir::mutex m;
  coir::shared_mutex s;
  m.lock();
  s.lock();
  on_thread([&] {
    const std::string text = thrown_text<std::system_error>([&] { m.unlock(); });
    CHECK(contains(text, "does not hold it; a fiber of another thread does"));
    CHECK(throws<std::system_error>([&] { s.unlock(); }));
    CHECK_FALSE(m.try_lock());
  });
  m.unlock();
  s.unlock();
}

TEST_CASE("mutex: its owner stays so when its thread gets a scheduler, and hands it to plain threads") {
  on_thread([] {
    coir::mutex m;
    coir::shared_mutex s;
    std::thread([&] {
      m.lock();
      s.lock();
      coir::spawn([] {}).join();
      m.unlock();
      s.unlock();
    }).join();
    m.lock();
    s.lock();
    joined_threads threads;
    std::atomic<int> got{0};
    threads.start([&] {
      m.lock();
      ++got;
      m.unlock();
      s.lock();
      ++got;
      s.unlock();
    });
    this_fiber::sleep_for(5ms);
    m.unlock();
    s.unlock();
    threads.join();
    CHECK(got == 2);
  });
}

TEST_CASE("mutex: may be destroyed by who locks it next, also after a wait that timed out") {
  for (int i = 0; i < 1000; ++i) {
    auto* m = new coir::mutex;
    std::atomic<bool> wanted{false};
    joined_threads threads;
    threads.start([&] {
      m->lock();
      coir::spawn([&] { CHECK(!m->try_lock_for(1us)); }).join();
      wanted = true;
      m->unlock();
    });
    threads.start([&] {
      while (!wanted || !m->try_lock()) coir::detail::pause();
      m->unlock();
      delete m;
    });
  }
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

TEMPLATE_TEST_CASE("queues: every item pushed by some thread is popped by one", "", coir::queue<int>,
                   coir::lifo_queue<int>, coir::priority_queue<int>) {
  const std::ptrdiff_t capacity = GENERATE(as<std::ptrdiff_t>(), 1, 7, coir::queue<int>::unbounded);
  TestType q(capacity);
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

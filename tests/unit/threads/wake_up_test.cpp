// Wake-ups between threads: whoever waits is told, whether its thread sleeps in a futex or in a reactor, and
// whether a fiber or a plain thread does the telling.
#include <coir/coir.hpp>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// Each pair waits for and gives one wake-up.
struct hand_over {
  const char* name;
  std::function<void()> wait;
  std::function<void()> give;
};

struct all_primitives {
  coir::event event;
  coir::semaphore semaphore{0};
  coir::channel<int> channel;
  coir::queue<int> queue;
  coir::promise<int> promise;
  coir::future<int> future = promise.get_future();
  coir::event event_of_nobody;
  coir::promise<int> promise_of_nobody;
  coir::future<int> future_of_nobody = promise_of_nobody.get_future();
  coir::mutex mutex;
  coir::condition_variable condition;
  bool ready = false;
  coir::latch latch{1};
  coir::barrier<> barrier{2};
  coir::priority_queue<int> priority;

  std::vector<hand_over> pairs() {
    return {
        {"event", [this] { event.wait(); }, [this] { event.set(); }},
        {"semaphore", [this] { semaphore.acquire(); }, [this] { semaphore.release(); }},
        {"channel pop", [this] { channel.pop(); }, [this] { channel.push(1); }},
        {"channel push", [this] { channel.push(1); }, [this] { channel.pop(); }},
        {"queue", [this] { queue.pop(); }, [this] { queue.push(1); }},
        {"latch", [this] { latch.wait(); }, [this] { latch.count_down(); }},
        {"barrier", [this] { barrier.arrive_and_wait(); }, [this] { barrier.arrive_and_wait(); }},
        {"priority_queue", [this] { priority.pop(); }, [this] { priority.push(1); }},
        {"select",
         [this] {
           coir::select(coir::on_pop(queue), coir::on_push(channel, 1), coir::on_pop(channel),
                        coir::on_set(event_of_nobody), coir::on_done(future_of_nobody));
         },
         [this] { coir::select(coir::on_push(channel, 1), coir::on_set(event_of_nobody)); }},
        {"promise", [this] { future.get(); }, [this] { promise.set_value(1); }},
        {"condition_variable",
         [this] {
           std::unique_lock lock(mutex);
           condition.wait(lock, [this] { return ready; });
         },
         [this] {
           const std::scoped_lock lock(mutex);
           ready = true;
           condition.notify_one();
         }},
    };
  }
};

// Waits on this thread, in a fiber or plainly, while another gives the wake-up.
void exchange(const hand_over& pair, bool wait_in_fiber, bool give_in_fiber, bool in_reactor) {
  joined_threads other;
  other.start([&] {
    std::this_thread::sleep_for(2ms);
    if (give_in_fiber)
      coir::spawn(pair.give).get();
    else
      pair.give();
  });
  on_thread([&] {
    if (in_reactor) open_reactor();
    if (wait_in_fiber)
      coir::spawn(pair.wait).get();
    else
      pair.wait();
  });
}

}  // namespace

TEST_CASE("wake-up: reaches a fiber or plain thread of another thread through every primitive") {
  const bool wait_in_fiber = GENERATE(false, true);
  const bool give_in_fiber = GENERATE(false, true);
  const bool in_reactor = GENERATE(false, true);
  all_primitives p;
  for (const hand_over& pair : p.pairs()) {
    INFO(pair.name << ", waits " << (wait_in_fiber ? "in a fiber" : "plainly") << ", told by "
                   << (give_in_fiber ? "a fiber" : "a plain thread") << ", sleeping in "
                   << (in_reactor ? "a reactor" : "a futex"));
    const stopwatch time;
    exchange(pair, wait_in_fiber, give_in_fiber, in_reactor);
    CHECK(time.elapsed() < patience);
  }
}

TEST_CASE("wake-up: none is lost in a hundred thousand hand-overs between two threads") {
  const bool in_reactor = GENERATE(false, true);
  coir::semaphore ping(0), pong(0);
  constexpr int rounds = 20'000;
  joined_threads other;
  other.start([&] {
    if (in_reactor) open_reactor();
    for (int i = 0; i < rounds; ++i) {
      ping.acquire();
      pong.release();
    }
  });
  on_thread([&] {
    if (in_reactor) open_reactor();
    auto f = coir::spawn([&] {
      for (int i = 0; i < rounds; ++i) {
        ping.release();
        pong.acquire();
      }
    });
    f.get();
  });
  CHECK(ping.available() == 0);
  CHECK(pong.available() == 0);
}

TEST_CASE("wake-up: a thread busy with yielding fibers hears of it too") {
  std::atomic<bool> told{false};
  coir::event e;
  joined_threads other;
  other.start([&] {
    std::this_thread::sleep_for(5ms);
    e.set();
  });
  on_thread([&] {
    auto waiter = coir::spawn([&] {
      e.wait();
      told = true;
    });
    auto busy = coir::spawn([&] {
      const stopwatch time;
      while (!told && time.elapsed() < patience) this_fiber::yield();
    });
    coir::wait_all(waiter, busy);
  });
  CHECK(told);
}

TEST_CASE("wake-up: one event wakes fibers of many threads and plain threads") {
  coir::event go;
  std::atomic<int> waiting{0}, woken{0};
  joined_threads threads;
  for (int t = 0; t < 4; ++t)
    threads.start([&] {
      std::vector<coir::fiber<void>> fibers;
      for (int i = 0; i < 50; ++i)
        fibers.push_back(coir::spawn([&] {
          ++waiting;
          go.wait();
          ++woken;
        }));
      coir::wait_all(fibers);
    });
  for (int t = 0; t < 2; ++t)
    threads.start([&] {
      ++waiting;
      go.wait();
      ++woken;
    });
  while (waiting < 202) std::this_thread::yield();
  go.set();
  threads.join();
  CHECK(woken == 202);
}

TEST_CASE("join: a fiber of one thread is joined from others, which get its result or exception") {
  std::optional<coir::fiber<std::string>> good;
  std::optional<coir::fiber<int>> bad;
  coir::event spawned, go;
  joined_threads home;
  home.start([&] {
    good = coir::spawn([&] {
      go.wait();
      return std::string("from afar");
    });
    bad = coir::spawn([&]() -> int {
      go.wait();
      throw std::runtime_error("from afar");
    });
    spawned.set();
    coir::wait_all(*good, *bad);
  });
  std::string in_fiber, plain, error;
  on_thread([&] {
    spawned.wait();
    auto f = coir::spawn([&] { return good->get(); });
    this_fiber::yield();
    const bool early = good->join_for(1ms);
    CHECK_FALSE(early);
    go.set();
    in_fiber = f.get();
    plain = good->get();
    error = thrown_text<std::runtime_error>([&] { bad->get(); });
  });
  home.join();
  CHECK(in_fiber == "from afar");
  CHECK(plain == "from afar");
  CHECK(error == "from afar");
}

TEST_CASE("handle: outlives its fiber's thread, and may be dropped on any") {
  std::vector<coir::fiber<std::string>> handles;
  on_thread([&] {
    for (int i = 0; i < 100; ++i) handles.push_back(coir::spawn([i] { return std::to_string(i); }));
    coir::wait_all(handles);
  });
  CHECK(handles[42].get() == "42");
  CHECK(handles[42].ready());
  handles[7].cancel();                     // has ended
  on_thread([&] { handles.resize(50); });  // on a thread without fibers
  on_thread([&] { coir::spawn([&] { handles.clear(); }).join(); });
  CHECK(handles.empty());
}

TEST_CASE("gather: takes fibers of several threads") {
  std::vector<coir::fiber<int>> fibers(3);
  std::atomic<int> spawned{0};
  joined_threads threads;
  for (int t = 0; t < 3; ++t)
    threads.start([&, t] {
      fibers[static_cast<std::size_t>(t)] = coir::spawn([t] {
        this_fiber::sleep_for(std::chrono::milliseconds(10 - 3 * t));
        return t;
      });
      const auto mine = fibers[static_cast<std::size_t>(t)];
      ++spawned;
      mine.join();
    });
  while (spawned < 3) std::this_thread::yield();
  std::vector<int> values;
  on_thread([&] { values = coir::gather(fibers); });
  threads.join();
  CHECK(values == std::vector{0, 1, 2});
}

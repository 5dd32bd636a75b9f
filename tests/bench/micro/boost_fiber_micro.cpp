// Boost.Fiber's micro benchmarks, on its pooled stacks (its fastest allocator; no guard pages). It has no
// semaphore, so handover_sem is missing. Arguments and method: measure.h.

#include <boost/fiber/all.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "measure.h"

namespace {

namespace bf = boost::fibers;

bf::pooled_fixedsize_stack& stacks() {
  static bf::pooled_fixedsize_stack pool(64 * 1024);
  return pool;
}

template <class Function>
bf::fiber spawn(Function function) {
  return bf::fiber(bf::launch::post, std::allocator_arg, stacks(), std::move(function));
}

void yield_among(long fibers, long n) {
  std::vector<bf::fiber> all;
  all.reserve(static_cast<std::size_t>(fibers));
  for (long i = 0; i < fibers; ++i)
    all.push_back(spawn([each = n / fibers] {
      for (long k = 0; k < each; ++k) boost::this_fiber::yield();
    }));
  for (auto& fiber : all) fiber.join();
}

void yield_2(long n) {
  yield_among(2, n);
}
void yield_1000(long n) {
  yield_among(1000, n);
}

void spawn_join(long n) {
  for (long i = 0; i < n; ++i) spawn([] {}).join();
}

void spawn_join_all(long n) {
  static std::vector<bf::fiber> all;
  all.reserve(batch);
  for (long started = 0; started < n; started += batch) {
    for (int i = 0; i < batch; ++i) all.push_back(spawn([] {}));
    for (auto& fiber : all) fiber.join();
    all.clear();
  }
}

void handover_cond(long n) {
  bf::mutex mutex;
  bf::condition_variable changed;
  int turn = 0;
  auto side = [&](int me) {
    std::unique_lock lock(mutex);
    for (long i = 0; i < n; ++i) {
      while (turn != me) changed.wait(lock);
      turn = 1 - me;
      changed.notify_one();
    }
  };
  auto ping = spawn([&] { side(0); }), pong = spawn([&] { side(1); });
  ping.join();
  pong.join();
}

void handover_channel(long n) {
  bf::unbuffered_channel<long> to_ping, to_pong;
  auto ping = spawn([&] {
    for (long i = 0; i < n; ++i) {
      to_pong.push(i);
      to_ping.value_pop();
    }
  });
  auto pong = spawn([&] {
    for (long i = 0; i < n; ++i) to_ping.push(to_pong.value_pop());
  });
  ping.join();
  pong.join();
}

void lock_unlock(long n) {
  static bf::mutex mutex;
  for (long i = 0; i < n; ++i) {
    mutex.lock();
    asm volatile("" ::: "memory");
    mutex.unlock();
    asm volatile("" ::: "memory");
  }
}

void switches() {
  emit("yield_2", measure(yield_2, 1'000'000));
  emit("yield_1000", measure(yield_1000, 4'000'000));
  emit("spawn_join", measure(spawn_join, 200'000));
  emit("spawn_10k_join_all", measure(spawn_join_all, 20 * batch));
  emit("handover_cond", measure(handover_cond, 200'000));
  emit("handover_channel", measure(handover_channel, 200'000));
  emit("mutex", measure(lock_unlock, 3'000'000));
}

long run_sleepers(int check) {
  using clock = std::chrono::steady_clock;
  static const int* const times = sleeper_times_us();
  static std::vector<bf::fiber> all;
  long early = 0;
  all.reserve(sleeper_count);
  for (int i = 0; i < sleeper_count; ++i) {
    const std::chrono::microseconds time(times[i]);
    if (check != 0) {
      all.push_back(spawn([time, &early] {
        const auto start = clock::now();
        boost::this_fiber::sleep_for(time);
        if (clock::now() - start < time) ++early;
      }));
    } else {
      all.push_back(spawn([time] { boost::this_fiber::sleep_for(time); }));
    }
  }
  for (auto& fiber : all) fiber.join();
  all.clear();
  return early;
}

void sleepers() {
  measure_sleepers(run_sleepers, warm_sleeper_runs);
}

void rss(long count) {
  bf::mutex mutex;
  bf::condition_variable changed;
  bool open = false;
  long parked = 0, done = 0;
  spawn([] {}).join();
  const memory_use before = memory_now();
  for (long i = 0; i < count; ++i)
    spawn([&] {
      ++parked;
      std::unique_lock lock(mutex);
      while (!open) changed.wait(lock);
      ++done;
    }).detach();
  while (parked < count) boost::this_fiber::yield();
  emit_memory(before, memory_now(), count);
  {
    std::scoped_lock lock(mutex);
    open = true;
  }
  changed.notify_all();
  while (done < count) boost::this_fiber::yield();
}

}  // namespace

int main(int argc, char** argv) {
  return micro_main(argc, argv, "boost_fiber", switches, sleepers, rss);
}

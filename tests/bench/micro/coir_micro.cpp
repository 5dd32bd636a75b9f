// coir's micro benchmarks, and R: the raw Boost.Context switch that coir's targets are multiples of, measured
// in the same process. Arguments and method: measure.h.

#include <coir/coir.hpp>

#include <boost/context/detail/fcontext.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "measure.h"

namespace {

namespace raw = boost::context::detail;

// ---- the ground: one switch of Boost.Context, nothing around it ----

alignas(64) char raw_stack[64 * 1024];
raw::fcontext_t raw_peer;

void raw_switch(long n) {
  for (long i = 0; i < n; i += 2) raw_peer = raw::jump_fcontext(raw_peer, nullptr).fctx;
}

void start_raw_peer() {
  raw_peer = raw::make_fcontext(raw_stack + sizeof raw_stack, sizeof raw_stack, [](raw::transfer_t from) {
    for (;;) from = raw::jump_fcontext(from.fctx, nullptr);
  });
}

// ---- yield, spawn ----

void yield_among(long fibers, long n) {
  std::vector<coir::fiber<void>> all;
  all.reserve(static_cast<std::size_t>(fibers));
  for (long i = 0; i < fibers; ++i)
    all.push_back(coir::spawn([each = n / fibers] {
      for (long k = 0; k < each; ++k) coir::this_fiber::yield();
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
  for (long i = 0; i < n; ++i) coir::spawn([] {}).join();
}

void spawn_join_all(long n) {
  static std::vector<coir::fiber<void>> all;
  all.reserve(batch);
  for (long started = 0; started < n; started += batch) {
    for (int i = 0; i < batch; ++i) all.push_back(coir::spawn([] {}));
    for (auto& fiber : all) fiber.join();
    all.clear();
  }
}

// ---- hand-over: two fibers, n round trips ----

void handover_cond(long n) {
  coir::mutex mutex;
  coir::condition_variable changed;
  int turn = 0;
  auto side = [&](int me) {
    std::unique_lock lock(mutex);
    for (long i = 0; i < n; ++i) {
      while (turn != me) changed.wait(lock);
      turn = 1 - me;
      changed.notify_one();
    }
  };
  auto ping = coir::spawn(side, 0), pong = coir::spawn(side, 1);
  ping.join();
  pong.join();
}

void handover_sem(long n) {
  coir::semaphore to_ping(0), to_pong(0);
  auto ping = coir::spawn([&] {
    for (long i = 0; i < n; ++i) {
      to_pong.release();
      to_ping.acquire();
    }
  });
  auto pong = coir::spawn([&] {
    for (long i = 0; i < n; ++i) {
      to_pong.acquire();
      to_ping.release();
    }
  });
  ping.join();
  pong.join();
}

void handover_channel(long n) {
  coir::channel<long> to_ping, to_pong;
  auto ping = coir::spawn([&] {
    for (long i = 0; i < n; ++i) {
      (void)to_pong.push(i);
      (void)to_ping.pop();
    }
  });
  auto pong = coir::spawn([&] {
    for (long i = 0; i < n; ++i) (void)to_ping.push(to_pong.pop().value_or(-1));
  });
  ping.join();
  pong.join();
}

// The barriers keep the compiler from merging one round with the next.
void lock_unlock(long n) {
  static coir::mutex mutex;
  for (long i = 0; i < n; ++i) {
    mutex.lock();
    asm volatile("" ::: "memory");
    mutex.unlock();
    asm volatile("" ::: "memory");
  }
}

// With a second thread alive, glibc and the atomics behind a mutex take their multi-threaded paths.
double lock_unlock_beside_a_thread() {
  std::atomic<bool> stop{false};
  std::thread idle([&] { stop.wait(false); });
  const double result = measure(lock_unlock, 10'000'000);
  stop = true;
  stop.notify_one();
  idle.join();
  return result;
}

void switches() {
  start_raw_peer();
  emit("raw_switch", measure(raw_switch, 10'000'000));
  emit("yield_2", measure(yield_2, 4'000'000));
  emit("yield_1000", measure(yield_1000, 4'000'000));
  emit("spawn_join", measure(spawn_join, 500'000));
  emit("spawn_10k_join_all", measure(spawn_join_all, 50 * batch));
  emit("handover_cond", measure(handover_cond, 500'000));
  emit("handover_sem", measure(handover_sem, 500'000));
  emit("handover_channel", measure(handover_channel, 500'000));
  emit("mutex", measure(lock_unlock, 10'000'000));
  emit("mutex_mt", lock_unlock_beside_a_thread());  // last: a process never becomes single-threaded again
}

// ---- 100,000 sleepers, memory ----

long run_sleepers(int check) {
  using clock = std::chrono::steady_clock;
  static const int* const times = sleeper_times_us();
  static std::vector<coir::fiber<void>> all;
  long early = 0;
  all.reserve(sleeper_count);
  for (int i = 0; i < sleeper_count; ++i) {
    const std::chrono::microseconds time(times[i]);
    if (check != 0) {
      all.push_back(coir::spawn([time, &early] {
        const auto start = clock::now();
        coir::this_fiber::sleep_for(time);
        if (clock::now() - start < time) ++early;
      }));
    } else {
      all.push_back(coir::spawn([time] { coir::this_fiber::sleep_for(time); }));
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
  coir::event open;
  long parked = 0, done = 0;
  coir::spawn([] {}).join();
  const memory_use before = memory_now();
  for (long i = 0; i < count; ++i)  // the handle is dropped: nothing of the caller's is counted
    coir::spawn([&] {
      ++parked;
      open.wait();
      ++done;
    });
  while (parked < count) coir::this_fiber::yield();
  emit_memory(before, memory_now(), count);
  open.set();
  while (done < count) coir::this_fiber::yield();
}

}  // namespace

int main(int argc, char** argv) {
  return micro_main(argc, argv, "coir", switches, sleepers, rss);
}

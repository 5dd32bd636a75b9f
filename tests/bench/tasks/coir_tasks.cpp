// What the task vocabulary costs: map, select, queues, offload, cancellation. Prints nanoseconds per
// operation as one JSON object, by the same keys as go/tasks.go and asio_offload.cpp.

#include <coir/coir.hpp>

#include <chrono>
#include <ranges>
#include <thread>
#include <vector>

#include "../micro/measure.h"

namespace {

constexpr std::size_t capacity = 128;

// ---- map ----

void map_ordered(long n) {
  for (const long result : coir::map(
           std::views::iota(0L, n), [](long i) { return i; }, 1000))
    asm volatile("" ::"r"(result));
}

void map_as_they_come(long n) {
  for (const long result : coir::map_unordered(
           std::views::iota(0L, n), [](long i) { return i; }, 1000))
    asm volatile("" ::"r"(result));
}

// ---- select over eight, of which one is ready ----

template <class Channel>
std::size_t take_one(Channel* c) {
  const auto nothing = [](auto&&) {};
  return coir::select(coir::on_pop(c[0], nothing), coir::on_pop(c[1], nothing), coir::on_pop(c[2], nothing),
                      coir::on_pop(c[3], nothing), coir::on_pop(c[4], nothing), coir::on_pop(c[5], nothing),
                      coir::on_pop(c[6], nothing), coir::on_pop(c[7], nothing));
}

void select_queue(long n) {
  coir::queue<long> queues[8];
  for (long i = 0; i < n; ++i) {
    queues[i % 8].push(i);
    take_one(queues);
  }
}

void select_channel(long n) {
  coir::channel<long> channels[8];
  auto pushes = coir::spawn([&] {
    for (long i = 0; i < n; ++i) channels[i % 8].push(i);
  });
  for (long i = 0; i < n; ++i) take_one(channels);
  pushes.join();
}

// ---- queues ----

void queue_between_fibers(long n) {
  coir::queue<long> q(capacity);
  auto pushes = coir::spawn([&] {
    for (long i = 0; i < n; ++i) q.push(i);
  });
  auto pops = coir::spawn([&] {
    for (long i = 0; i < n; ++i) (void)q.pop();
  });
  pushes.join();
  pops.join();
}

void queue_between_threads(long n) {
  coir::queue<long> q(capacity);
  std::thread pushes([&] {
    for (long i = 0; i < n; ++i) q.push(i);
  });
  for (long i = 0; i < n; ++i) (void)q.pop();
  pushes.join();
}

// ---- offload, cancellation ----

void offload(long n) {
  for (long i = 0; i < n; ++i) (void)coir::offload([i] { return i; });
}

void cancel_parked(long n) {
  static std::vector<coir::fiber<void>> all;
  coir::event never;
  for (long i = 0; i < n; ++i) all.push_back(coir::spawn([&] { never.wait(); }));
  coir::this_fiber::yield();
  const double start = wall_ns();
  for (auto& f : all) f.cancel();
  for (auto& f : all) f.join();
  const double end = wall_ns();
  all.clear();
  emit("cancel_parked", (end - start) / static_cast<double>(n));
}

void throw_and_catch(long n) {
  for (long i = 0; i < n; ++i) {
    try {
      throw coir::cancelled();
    } catch (const coir::cancelled&) {
      asm volatile("" ::: "memory");
    }
  }
}

}  // namespace

// The argument: `one`, what happens on one thread; `two`, what needs several, after which there are some.
int main(int argc, char** argv) {
  const bool one = argc == 2 && strcmp(argv[1], "one") == 0;
  if (!one && (argc != 2 || strcmp(argv[1], "two") != 0)) {
    fprintf(stderr, "usage: %s one | two\n", argv[0]);
    return 2;
  }
  emit_begin("coir");
  if (!one) {
    emit("queue_threads", measure(queue_between_threads, 1'000'000));
    emit("offload", measure(offload, 50'000));
    return emit_end();
  }
  emit("map", measure(map_ordered, 1'000'000));
  emit("map_unordered", measure(map_as_they_come, 1'000'000));
  emit("select_queue", measure(select_queue, 1'000'000));
  emit("select_channel", measure(select_channel, 1'000'000));
  emit("queue", measure(queue_between_fibers, 2'000'000));
  emit("throw", measure(throw_and_catch, 100'000));
  cancel_parked(100'000);
  return emit_end();
}

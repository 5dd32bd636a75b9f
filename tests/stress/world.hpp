// What the fibers of a stress round share, and the books kept about it.
//
// I1: `in` and `out` of a ledger grow by an item exactly when a push said yes and when a pop returned it. So
// once all
//     have ended, in = out + what is still inside.
#pragma once

#include <coir/coir.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>

namespace stress {

struct ledger {
  std::atomic<std::int64_t> in_count{0}, in_sum{0}, out_count{0}, out_sum{0};

  void pushed(std::int64_t item) {
    ++in_count;
    in_sum += item;
  }
  void popped(std::int64_t item) {
    ++out_count;
    out_sum += item;
  }
};

struct world {
  explicit world(std::size_t capacity, std::ptrdiff_t free_permits)
      : bounded(capacity), permits(free_permits), permits_at_start(free_permits) {}

  coir::channel<std::int64_t> channel;
  ledger through_channel;
  coir::queue<std::int64_t> bounded;
  ledger through_bounded;
  coir::queue<std::int64_t> unbounded;
  ledger through_unbounded;

  coir::mutex mutex;
  std::int64_t under_mutex = 0;  // not atomic: guarded by mutex
  std::atomic<std::int64_t> locks{0};
  coir::recursive_mutex recursive;
  std::int64_t under_recursive = 0;

  coir::semaphore permits;
  const std::ptrdiff_t permits_at_start;
  std::atomic<std::ptrdiff_t> permits_held{0};

  coir::mutex store_mutex;
  coir::condition_variable store_changed;
  std::int64_t store = 0, stored = 0, fetched = 0;  // guarded by store_mutex

  coir::event event;
  std::atomic<bool> stop{false};
  std::atomic<int> errors{0};
  std::atomic<std::uint64_t> operations{0}, cancelled{0}, raised{0}, timed_out{0};

  void fail(const char* what) {
    if (errors++ == 0) std::fprintf(stderr, "stress: broken: %s\n", what);
  }

  // When nobody is left: every item, permit and lock must be where the books say.
  void check() {
    while (const auto item = bounded.try_pop()) through_bounded.popped(*item);
    while (const auto item = unbounded.try_pop()) through_unbounded.popped(*item);
    if (channel.try_pop()) fail("an item of the channel had no owner");
    check(through_channel, "channel");
    check(through_bounded, "bounded queue");
    check(through_unbounded, "unbounded queue");
    if (permits.available() != permits_at_start || permits_held != 0) fail("permits of the semaphore");
    if (!mutex.try_lock() || !store_mutex.try_lock() || !recursive.try_lock()) fail("a mutex stayed locked");
    if (under_mutex + under_recursive != locks) fail("a count under a mutex");
    if (store != stored - fetched || store < 0) fail("items of the condition variable's store");
  }

 private:
  void check(const ledger& l, const char* what) {
    if (l.in_count == l.out_count && l.in_sum == l.out_sum) return;
    std::fprintf(stderr, "stress: %s: %lld items (sum %lld) in, %lld (sum %lld) out\n", what,
                 static_cast<long long>(l.in_count), static_cast<long long>(l.in_sum),
                 static_cast<long long>(l.out_count), static_cast<long long>(l.out_sum));
    fail(what);
  }
};

}  // namespace stress

// One fiber (or plain thread) of a stress round: random operations on the world, in every form there is.
#pragma once

#include <chrono>
#include <mutex>
#include <random>

#include "world.hpp"

namespace stress {

struct poke {};  // what the others raise in a worker

class worker {
 public:
  worker(world& w, std::uint64_t seed, bool in_fiber) : w_(w), random_(seed), in_fiber_(in_fiber) {}

  // Until the round ends; coir::cancelled leaves it.
  void run() {
    while (!w_.stop.load(std::memory_order_relaxed)) step();
  }

  void step() {
    w_.operations.fetch_add(1, std::memory_order_relaxed);
    try {
      if (in_fiber_ && below(8) == 0) {
        if (!coir::with_timeout(span(), [this] { operation(); })) ++w_.timed_out;
      } else {
        operation();
      }
    } catch (const poke&) {
      ++w_.raised;
    }
  }

 private:
  void operation() {
    switch (below(14)) {
      case 0:
        return push(w_.channel, w_.through_channel);
      case 1:
        return pop(w_.channel, w_.through_channel);
      case 2:
        return push(w_.bounded, w_.through_bounded);
      case 3:
        return pop(w_.bounded, w_.through_bounded);
      case 4:
        return push(w_.unbounded, w_.through_unbounded);
      case 5:
        return pop(w_.unbounded, w_.through_unbounded);
      case 6:
        return lock(w_.mutex, w_.under_mutex);
      case 7:
        return lock(w_.recursive, w_.under_recursive);
      case 8:
        return acquire();
      case 9:
        return store();
      case 10:
        return fetch();
      case 11:
        return wait_for_event();
      case 12:
        return children();
      default:
        return pause();
    }
  }

  // A pushed item counts only if the push says so; if it throws, the item did not go in.
  template <class Pipe>
  void push(Pipe& pipe, ledger& l) {
    std::int64_t item = static_cast<std::int64_t>(random_() >> 16);
    bool done = false;
    switch (form()) {
      case 0:
        done = pipe.try_push(std::int64_t{item});
        break;
      case 1:
        done = pipe.push_for(std::int64_t{item}, span());
        break;
      default:
        done = pipe.push(item);
        break;
    }
    if (done) l.pushed(item);
  }

  template <class Pipe>
  void pop(Pipe& pipe, ledger& l) {
    std::optional<std::int64_t> item;
    switch (form()) {
      case 0:
        item = pipe.try_pop();
        break;
      case 1:
        item = pipe.pop_for(span());
        break;
      default:
        item = pipe.pop();
        break;
    }
    if (item) l.popped(*item);
  }

  template <class Mutex>
  void lock(Mutex& m, std::int64_t& count) {
    switch (form()) {
      case 0:
        if (!m.try_lock()) return;
        break;
      case 1:
        if (!m.try_lock_for(span())) return;
        break;
      default:
        m.lock();
    }
    const std::lock_guard held(m, std::adopt_lock);
    const std::int64_t seen = count;
    ++w_.locks;
    count = seen + 1;
    if (below(4) == 0) pause();  // may throw: the lock goes with the guard
    if (count != seen + 1) w_.fail("two were inside a mutex");
  }

  void acquire() {
    switch (form()) {
      case 0:
        if (!w_.permits.try_acquire()) return;
        break;
      case 1:
        if (!w_.permits.try_acquire_for(span())) return;
        break;
      default:
        w_.permits.acquire();
    }
    struct holder {
      world& w;
      explicit holder(world& its) : w(its) {
        if (++w.permits_held > w.permits_at_start) w.fail("more permits than there are");
      }
      ~holder() {
        --w.permits_held;
        w.permits.release();
      }
    } held(w_);
    if (below(2) == 0) pause();
  }

  void store() {
    const std::unique_lock lock(w_.store_mutex);
    ++w_.store;
    ++w_.stored;
    if (below(2) == 0)
      w_.store_changed.notify_one();
    else
      w_.store_changed.notify_all();
  }

  void fetch() {
    std::unique_lock lock(w_.store_mutex);
    const auto there = [this] { return w_.store > 0; };
    if (form() == 2)
      w_.store_changed.wait(lock, there);
    else if (!w_.store_changed.wait_for(lock, span(), there))
      return;
    if (!lock.owns_lock()) w_.fail("a condition wait returned without its lock");
    --w_.store;
    ++w_.fetched;
  }

  void wait_for_event() {
    if (below(3) == 0) {
      w_.event.set();
      if (below(2) == 0) w_.event.reset();
    } else if (form() == 2) {
      w_.event.wait();
    } else {
      w_.event.wait_for(span());
    }
  }

  // Spawns some, waits for them in one of several ways; whatever happens, none is left when the group ends.
  void children() {
    if (!in_fiber_ || below(4) != 0) return pause();
    coir::group g;
    std::vector<coir::fiber<int>> fibers;
    for (int i = 0; i < 3; ++i) {
      const auto d = span();
      fibers.push_back(g.spawn([d, i] {
        coir::this_fiber::sleep_for(d);
        return i;
      }));
    }
    switch (below(4)) {
      case 0: {
        const std::vector<int> results = coir::gather(fibers);
        if (results != std::vector{0, 1, 2}) w_.fail("results of gather");
        break;
      }
      case 1:
        coir::wait_any(fibers);
        break;
      case 2:
        g.cancel();
        break;
      default:
        g.join();
    }
  }

  void pause() {
    if (below(2) == 0)
      coir::this_fiber::yield();
    else
      coir::this_fiber::sleep_for(span());
  }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::chrono::microseconds span() {
    return std::chrono::microseconds(below(10) == 0 ? below(2000) : below(50));
  }
  // 0: never waits, 1: for a time, 2: for as long as it takes, which only what can be cancelled may do.
  int form() { return static_cast<int>(below(in_fiber_ ? 3 : 2)); }

  world& w_;
  std::mt19937_64 random_;
  bool in_fiber_;
};

}  // namespace stress

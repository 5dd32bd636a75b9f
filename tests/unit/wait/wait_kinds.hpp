// Every kind of wait that can be interrupted.
#pragma once

#include <coir/coir.hpp>

#include <functional>
#include <mutex>
#include <vector>

#include "support/virtual_time.hpp"

namespace unit {

// Everything a fiber can wait in, none of which will ever come by itself.
struct primitives {
  coir::event event;
  coir::mutex mutex;
  coir::recursive_mutex recursive;
  coir::condition_variable condition;
  coir::mutex condition_mutex;
  coir::shared_mutex written;
  coir::shared_mutex read;
  coir::barrier<> barrier{2};
  coir::latch latch{1};
  coir::semaphore semaphore{0};
  coir::channel<int> channel;
  coir::queue<int> empty;
  coir::queue<int> full{1};
  coir::lifo_queue<int> lifo;
  coir::priority_queue<int> priority;
  coir::promise<int> promise;
  coir::fiber<void> holder;
  coir::event release_holder;
  coir::fiber<void> endless;
  coir::group group;
  coir::pool pool{1};
  coir::fiber<void> shielded;

  primitives() {
    full.push(1);
    written.lock();
    read.lock_shared();
    holder = coir::spawn([this] {
      const std::scoped_lock hold(mutex, recursive);
      release_holder.wait();
    });
    endless = coir::spawn([this] { release_holder.wait(); });
    group.spawn([this] { release_holder.wait(); });
    pool.spawn([this] { release_holder.wait(); });
    shielded = coir::spawn([this] {
      const coir::this_fiber::shield whatever_comes;
      release_holder.wait();
    });
    coir::this_fiber::yield();
  }
  ~primitives() {
    release_holder.set();
    holder.join();
    endless.join();
    group.join();
    pool.join();
    shielded.join();
  }
};

struct wait_kind {
  const char* name;
  std::function<void(primitives&)> wait;
};

inline const std::vector<wait_kind>& wait_kinds() {
  static const std::vector<wait_kind> all = {
      {"sleep", [](primitives&) { coir::this_fiber::sleep_for(1h); }},
      {"event", [](primitives& p) { p.event.wait(); }},
      {"event for", [](primitives& p) { p.event.wait_for(1h); }},
      {"mutex", [](primitives& p) { p.mutex.lock(); }},
      {"mutex for", [](primitives& p) { (void)p.mutex.try_lock_for(1h); }},
      {"recursive mutex", [](primitives& p) { p.recursive.lock(); }},
      {"condition variable",
       [](primitives& p) {
         std::unique_lock lock(p.condition_mutex);
         p.condition.wait(lock);
       }},
      {"condition variable for",
       [](primitives& p) {
         std::unique_lock lock(p.condition_mutex);
         p.condition.wait_for(lock, 1h, [] { return false; });
       }},
      {"shared_mutex to write", [](primitives& p) { p.read.lock(); }},
      {"shared_mutex to write for", [](primitives& p) { (void)p.read.try_lock_for(1h); }},
      {"shared_mutex to read", [](primitives& p) { p.written.lock_shared(); }},
      {"shared_mutex to read for", [](primitives& p) { (void)p.written.try_lock_shared_for(1h); }},
      {"barrier", [](primitives& p) { p.barrier.arrive_and_wait(); }},
      {"barrier for", [](primitives& p) { p.barrier.arrive_and_wait_for(1h); }},
      {"latch", [](primitives& p) { p.latch.wait(); }},
      {"semaphore", [](primitives& p) { p.semaphore.acquire(); }},
      {"semaphore for", [](primitives& p) { p.semaphore.try_acquire_for(1h); }},
      {"channel push", [](primitives& p) { p.channel.push(1); }},
      {"channel pop", [](primitives& p) { p.channel.pop(); }},
      {"queue push", [](primitives& p) { p.full.push(1); }},
      {"queue pop", [](primitives& p) { p.empty.pop(); }},
      {"lifo_queue pop", [](primitives& p) { p.lifo.pop(); }},
      {"priority_queue pop", [](primitives& p) { p.priority.pop(); }},
      {"select", [](primitives& p) { coir::select(coir::on_pop(p.empty), coir::on_set(p.event)); }},
      {"select for", [](primitives& p) { coir::select(coir::on_push(p.full, 1), coir::after(1h)); }},
      {"queue join", [](primitives& p) { p.full.join(); }},
      {"future", [](primitives& p) { p.promise.get_future().get(); }},
      {"join", [](primitives& p) { p.endless.join(); }},
      {"get", [](primitives& p) { p.endless.get(); }},
      {"gather", [](primitives& p) { coir::gather(p.endless, p.holder); }},
      {"as_completed", [](primitives& p) { coir::as_completed(std::vector{p.endless}).next(); }},
      {"map",
       [](primitives& p) {
         coir::map(
             std::vector{1}, [&](int) { p.release_holder.wait(); }, 1)
             .next();
       }},
      {"pool spawn", [](primitives& p) { p.pool.spawn([] {}); }},
      {"pool join", [](primitives& p) { p.pool.join(); }},
      {"cancel_all_for", [](primitives& p) { coir::cancel_all_for(std::vector{p.shielded}, 1h); }},
      {"wait_any", [](primitives& p) { coir::wait_any(std::vector{p.endless}); }},
      {"wait_all", [](primitives& p) { coir::wait_all(p.endless); }},
      {"group join", [](primitives& p) { p.group.join(); }},
      {"yield",
       [](primitives&) {
         for (;;) coir::this_fiber::yield();
       }},
  };
  return all;
}

}  // namespace unit

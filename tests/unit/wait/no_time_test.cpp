// Waits whose time is over before they begin: one look, and nobody has to run first.
#include <coir/coir.hpp>

#include <functional>
#include <mutex>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// Nothing in it will come while a test asks.
struct nothing {
  coir::event event;
  coir::mutex mutex;
  coir::recursive_mutex recursive;
  coir::shared_mutex written;
  coir::semaphore semaphore{0};
  coir::condition_variable condition;
  coir::mutex condition_mutex;
  coir::queue<int> empty;
  coir::queue<int> full{1};
  coir::channel<int> channel;
  coir::promise<int> promise;
  coir::latch latch{1};
  coir::barrier<> barrier{2};
  coir::event end;
  coir::group group;
  coir::pool pool{1};
  std::vector<coir::fiber<void>> fibers;
  std::vector<coir::future<int>> futures;

  nothing() {
    fibers = {coir::spawn([this] {
      const std::scoped_lock hold(mutex, recursive, written);
      end.wait();
    })};
    group.spawn([this] { end.wait(); });
    pool.spawn([this] { end.wait(); });
    full.push(1);
    futures = {promise.get_future()};
    this_fiber::yield();
  }
  ~nothing() {
    end.set();
    fibers[0].join();
    group.join();
    pool.join();
  }
};

struct ask_kind {
  const char* name;
  std::function<bool(nothing&)> ask;  // whether it came
};

const std::vector<ask_kind>& ask_kinds() {
  static const auto past = [] { return virtual_time::time_source::now() - 1h; };
  static const std::vector<ask_kind> all = {
      {"event", [](nothing& n) { return n.event.wait_for(0s); }},
      {"event until", [](nothing& n) { return n.event.wait_until(past()); }},
      {"mutex", [](nothing& n) { return n.mutex.try_lock_for(0s); }},
      {"recursive mutex", [](nothing& n) { return n.recursive.try_lock_for(0s); }},
      {"shared_mutex to write", [](nothing& n) { return n.written.try_lock_for(0s); }},
      {"shared_mutex to read", [](nothing& n) { return n.written.try_lock_shared_until(past()); }},
      {"semaphore", [](nothing& n) { return n.semaphore.try_acquire_for(0s); }},
      {"condition variable",
       [](nothing& n) {
         std::unique_lock lock(n.condition_mutex);
         return n.condition.wait_for(lock, 0s) == std::cv_status::no_timeout;
       }},
      {"queue pop", [](nothing& n) { return n.empty.pop_for(0s).has_value(); }},
      {"queue push", [](nothing& n) { return n.full.push_for(1, 0s); }},
      {"queue join", [](nothing& n) { return n.full.join_for(0s); }},
      {"channel pop", [](nothing& n) { return n.channel.pop_until(past()).has_value(); }},
      {"channel push", [](nothing& n) { return n.channel.push_for(1, 0s); }},
      {"future", [](nothing& n) { return n.futures[0].wait_for(0s); }},
      {"latch", [](nothing& n) { return n.latch.wait_for(0s); }},
      {"barrier", [](nothing& n) { return n.barrier.arrive_and_wait_for(0s); }},
      {"fiber", [](nothing& n) { return n.fibers[0].join_for(0s); }},
      {"group", [](nothing& n) { return n.group.join_for(0s); }},
      {"pool", [](nothing& n) { return n.pool.join_for(0s); }},
      {"wait_any of fibers", [](nothing& n) { return !coir::wait_any_for(n.fibers, 0s).empty(); }},
      {"wait_any of futures", [](nothing& n) { return !coir::wait_any_for(n.futures, 0s).empty(); }},
      {"wait_all", [](nothing& n) { return coir::wait_all_for(n.fibers, 0s); }},
      {"as_completed", [](nothing& n) { return coir::as_completed(n.fibers).next_for(0s).has_value(); }},
      {"select", [](nothing& n) { return coir::select(coir::on_set(n.event), coir::after(0s)) == 0; }},
      {"select at", [](nothing& n) { return coir::select(coir::on_pop(n.empty), coir::at(past())) == 0; }},
  };
  return all;
}

// Calls that need not wait are counted, and after a turn of them the others get theirs: the caller has just
// let them.
void begin_turn_of_calls() {
  bool ran = false;
  auto other = coir::spawn([&] { ran = true; });
  coir::event never;
  while (!ran) never.wait_for(0s);
  other.join();
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "no time: a wait of no time says at once that nothing came") {
  for (const ask_kind& kind : ask_kinds()) {
    begin_turn_of_calls();
    nothing n;
    bool other_ran = false;
    auto other = coir::spawn([&] { other_ran = true; });
    const auto began = elapsed();
    const bool came = kind.ask(n);
    INFO(kind.name);
    CHECK_FALSE(came);
    CHECK_FALSE(other_ran);
    CHECK(elapsed() == began);
    other.join();
  }
}

TEST_CASE_METHOD(virtual_time, "no time: who asks for ever lets others run, and the asked one end") {
  coir::event come;
  auto brings = coir::spawn([&] {
    this_fiber::sleep_for(5ms);
    come.set();
  });
  int asked = 0;
  for (; !come.wait_for(0s) && asked < 1'000'000; ++asked) compute(1us);
  CHECK(come.is_set());
  CHECK(elapsed() <= 7ms);
  brings.join();

  auto ends = coir::spawn([] { this_fiber::yield(); });
  for (asked = 0; !ends.join_for(0s) && asked < 1'000'000; ++asked) {
  }
  CHECK(ends.ready());
  CHECK(asked <= 1024);
}

TEST_CASE_METHOD(virtual_time, "no time: a fiber that is to end does so in a wait of no time") {
  for (const ask_kind& kind : ask_kinds()) {
    nothing n;
    bool went_on = false;
    auto f = coir::spawn([&] {
      this_fiber::yield();
      kind.ask(n);
      went_on = true;
    });
    this_fiber::yield();
    f.cancel();
    f.join();
    INFO(kind.name);
    CHECK_FALSE(went_on);
  }
}

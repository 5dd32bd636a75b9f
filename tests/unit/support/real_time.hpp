// The world of a test that waits for real: a thread of its own, with the reactor that COIR_REACTOR names.
// When the thread has ended, its scheduler, reactor and descriptors are gone, so the leak check after the
// test is exact.
#pragma once

#include <coir/coir.hpp>

#include <chrono>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "sched/scheduler.hpp"
#include "support/throws.hpp"

namespace unit {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

// Runs `f` on a new thread and waits for it; rethrows what leaves it.
template <class F>
void on_thread(F&& f) {
  std::exception_ptr error;
  std::thread t([&] {
    try {
      f();
    } catch (...) {
      error = std::current_exception();
    }
  });
  t.join();
  if (error != nullptr) std::rethrow_exception(error);
}

// Makes the thread sleep in its reactor from now on, not in a futex.
inline void open_reactor() {
  coir::sched::scheduler::ensure().io();
}

// Ends threads that would otherwise be destroyed joinable when a test fails.
class joined_threads {
 public:
  template <class F>
  void start(F&& f) {
    threads_.emplace_back(std::forward<F>(f));
  }
  void join() {
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }
  ~joined_threads() { join(); }

 private:
  std::vector<std::thread> threads_;
};

class stopwatch {
 public:
  std::chrono::nanoseconds elapsed() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// How much longer than meant a step may take on a loaded machine before the test fails.
inline constexpr auto patience = 20s;

// Lets other fibers run until `done()`.
template <class F>
bool comes_true(F done) {
  const stopwatch waited;
  while (!done()) {
    if (waited.elapsed() > patience) return false;
    coir::this_fiber::sleep_for(1ms);
  }
  return true;
}

}  // namespace unit

// What holds a job up until the test says so.
#pragma once

#include <coir/coir.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace unit {

// Lets the thread of a job wait until it is told to go on, as code that knows nothing of coir.
class gate {
 public:
  void wait() {
    ++inside_;
    while (!open_.load()) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  void open() { open_ = true; }
  // Parks until `n` have come.
  void await(int n) const {
    while (inside_.load() < n) coir::this_fiber::sleep_for(std::chrono::microseconds(100));
  }

 private:
  std::atomic<bool> open_{false};
  std::atomic<int> inside_{0};
};

}  // namespace unit

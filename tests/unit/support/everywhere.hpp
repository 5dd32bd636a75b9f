// The same work on many fibers of several threads, and on plain threads, at the same time.
#pragma once

#include <coir/coir.hpp>

#include <atomic>
#include <vector>

#include "support/real_time.hpp"

namespace unit {

inline constexpr int threads_count = 3;
inline constexpr int fibers_each = 8;

// Runs `work(index)` in fibers of several threads and on plain threads at the same time; the number of runs.
template <class F>
int everywhere(F&& work) {
  std::atomic<int> missing{threads_count + 2};  // nobody begins before all are there
  const auto meet = [&missing] {
    --missing;
    while (missing > 0) std::this_thread::yield();
  };
  joined_threads threads;
  for (int t = 0; t < threads_count; ++t)
    threads.start([&work, &meet, t] {
      if (t % 2 == 0) open_reactor();
      meet();
      std::vector<coir::fiber<void>> fibers;
      for (int i = 0; i < fibers_each; ++i)
        fibers.push_back(coir::spawn([&work, t, i] { work(t * fibers_each + i); }));
      coir::gather(fibers);
    });
  for (int t = 0; t < 2; ++t)
    threads.start([&work, &meet, t] {
      meet();
      work(threads_count * fibers_each + t);
    });
  return threads_count * fibers_each + 2;
}

}  // namespace unit

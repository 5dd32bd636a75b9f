// Shows: C++'s own mutex, shared_mutex, counting_semaphore and latch between hundreds of fibers and a thread.
// Try:   ./locks

#include <algorithm>
#include <atomic>
#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <thread>

namespace {

template <class F>
void crowd(int n, F f) {
  coir::group all;
  for (int i = 0; i < n; ++i) all.spawn(f, i);
  all.join();
}

// One fiber sleeps with a mutex locked; another hundred want it, and a hundred do not.
int overtake() {
  std::mutex mutex;
  int ended = 0;
  auto owner = coir::spawn([&] {
    const std::lock_guard lock(mutex);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return ended;
  });
  crowd(200, [&](int i) {
    std::unique_lock lock(mutex, std::defer_lock);
    if (i % 2 == 0) lock.lock();
    ++ended;
  });
  return owner.get();
}

// Nobody passes the latch until 200 fibers and a thread hold the lock, all at once.
int share() {
  std::shared_mutex mutex;
  std::latch together(201);
  std::atomic<int> readers = 0;
  const auto read = [&](int) {
    const std::shared_lock lock(mutex);
    together.arrive_and_wait();
    ++readers;
  };
  const std::jthread thread(read, 0);
  crowd(200, read);
  const std::unique_lock lock(mutex);  // waits for the thread, too
  return readers;
}

// 100 fibers through a semaphore of 10; the most that were inside.
int pass() {
  std::counting_semaphore places(10);
  int inside = 0, most = 0;
  crowd(100, [&](int) {
    places.acquire();
    most = std::max(most, ++inside);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    --inside;
    places.release();
  });
  return most;
}

}  // namespace

int main() {
  const auto start = std::chrono::steady_clock::now();
  std::printf("mutex: %d fibers overtook its sleeping owner\n", overtake());
  std::printf("shared mutex: %d readers at once\n", share());
  std::printf("semaphore: at most %d inside\n", pass());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%.2f s\n", elapsed.count());
}

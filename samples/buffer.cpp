// Shows: producers and consumers with mutex and condition_variable, on hundreds of fibers and four threads.
// Try:   ./buffer

#include <chrono>
#include <coir/coir.hpp>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// A bounded buffer as everybody writes it.
class buffer {
 public:
  void put(int item) {
    std::unique_lock lock(mutex_);
    has_room_.wait(lock, [this] { return items_.size() < 10; });
    items_.push_back(item);
    has_items_.notify_one();
  }
  int take() {
    std::unique_lock lock(mutex_);
    has_items_.wait(lock, [this] { return !items_.empty(); });
    const int item = items_.front();
    items_.pop_front();
    has_room_.notify_one();
    return item;
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_items_, has_room_;
  std::deque<int> items_;
};

// 202 producers of the numbers from 1 to 100, and as many consumers; two of each are threads.
long exchange() {
  buffer shared;
  const auto produce = [&shared] {
    for (int i = 1; i <= 100; ++i) shared.put(i);
  };
  const auto consume = [&shared] {
    long sum = 0;
    for (int i = 1; i <= 100; ++i) sum += shared.take();
    return sum;
  };
  std::vector<std::future<long>> sums;
  const std::jthread one(produce), two(produce);
  for (int i = 0; i < 2; ++i) sums.push_back(std::async(std::launch::async, consume));
  coir::group producers;
  std::vector<coir::fiber<long>> consumers;
  for (int i = 0; i < 200; ++i) {
    producers.spawn(produce);
    consumers.push_back(coir::spawn(consume));
  }
  long sum = 0;
  for (const long part : coir::gather(consumers)) sum += part;
  for (auto& part : sums) sum += part.get();
  producers.join();
  return sum;
}

}  // namespace

int main() {
  const auto start = std::chrono::steady_clock::now();
  const long sum = exchange();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("sum %ld, %.2f s\n", sum, elapsed.count());
}

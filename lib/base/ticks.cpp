#include "base/ticks.hpp"

#include <algorithm>

namespace coir::base {
namespace {

constexpr nanoseconds long_enough = 200'000;

// Where the measurement began. Threads that begin one at the same time agree by the lock-free `began`.
std::atomic<int> began{0};  // 1: being written, 2: there
std::uint64_t first_ticks;
nanoseconds first_ns;

}  // namespace

void tick_rate::measure() noexcept {
  int none = 0;
  if (began.compare_exchange_strong(none, 1, std::memory_order_relaxed)) {
    first_ns = monotonic_now();
    first_ticks = ticks();
    began.store(2, std::memory_order_release);  // pairs with the load below
    return;
  }
  if (began.load(std::memory_order_acquire) != 2) return;
  const nanoseconds ns = monotonic_now() - first_ns;
  const auto passed = static_cast<std::int64_t>(ticks() - first_ticks);
  if (ns < long_enough || passed <= 0) return;
  const auto rate = static_cast<std::uint64_t>(static_cast<double>(passed) * 1024 / static_cast<double>(ns));
  per_1024_ns_.store(std::max(rate, unknown + 1), std::memory_order_relaxed);
}

}  // namespace coir::base

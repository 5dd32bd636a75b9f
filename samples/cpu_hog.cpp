// Shows: a long computation holds up every other fiber of its thread; a yield now and then cures that, or
// another thread. Try:   ./cpu_hog

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <coir/coir.hpp>
#include <cstdint>
#include <cstdio>

namespace {

using std::chrono::steady_clock;
using milliseconds = std::chrono::duration<double, std::milli>;

// The number below `limit` with the longest Collatz sequence. Yields every 64 numbers, some µs, if asked to.
std::uint64_t compute(std::uint64_t limit, bool yields) {
  std::uint64_t best = 1;
  unsigned longest = 0;
  for (std::uint64_t number = 1; number < limit; ++number) {
    unsigned steps = 0;
    for (std::uint64_t n = number; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) ++steps;
    if (steps > longest) {
      longest = steps;
      best = number;
    }
    if (yields && number % 64 == 0) coir::this_fiber::yield();
  }
  return best;
}

// Ticks every millisecond while the computation runs; returns the longest time between two ticks.
milliseconds tick_beside(const coir::fiber<std::uint64_t>& computation, steady_clock::time_point last) {
  steady_clock::duration longest{};
  do {
    ::usleep(1000);
    const auto now = steady_clock::now();
    longest = std::max(longest, now - last);
    last = now;
  } while (!computation.ready());
  return longest;
}

template <class F>
void measure(const char* title, F computation) {
  auto hog = coir::spawn(computation);
  auto ticker = coir::spawn(tick_beside, hog, steady_clock::now());
  const double pause = ticker.get().count();
  std::printf("%s longest pause of the ticker %.1f ms (answer %llu)\n", title, pause,
              static_cast<unsigned long long>(hog.get()));
}

}  // namespace

int main() {
  static constexpr std::uint64_t limit = 1'000'000;
  measure("without yield:", [] { return compute(limit, false); });
  measure("with yield:   ", [] { return compute(limit, true); });
  measure("offloaded:    ", [] { return coir::offload(compute, limit, false); });
}

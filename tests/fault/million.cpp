// A million fibers with default stacks, guards and sysctls: all park on one event, then all are released.
#include <coir/coir.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "sys/kernel.hpp"

int main() {
#ifdef UNIT_SANITIZED
  std::puts("skipped: a sanitizer's shadow of a million stacks needs more memory than there is");
  return 77;
#else
  if (!coir::sys::has_light_guards()) {
    std::puts("skipped: without MADV_GUARD_INSTALL (Linux 6.13) vm.max_map_count ends it at 32,000");
    return 77;
  }
  constexpr std::size_t count = 1'000'000;
  const auto start = std::chrono::steady_clock::now();
  const std::size_t before = unit::resident_bytes();
  coir::event go;
  std::size_t parked = 0, released = 0;
  for (std::size_t i = 0; i < count; ++i)
    coir::spawn([&] {
      ++parked;
      go.wait();
      ++released;
    });
  coir::this_fiber::yield();
  const double bytes_each = static_cast<double>(unit::resident_bytes() - before) / count;
  const bool all_parked = parked == count && released == 0 && coir::inspect::fiber_count() == count;
  go.set();
  while (coir::inspect::fiber_count() != 0) coir::this_fiber::yield();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%zu parked, %zu released, %.0f bytes each, %zu mappings, %.2f s\n", parked, released,
              bytes_each, unit::mappings(), seconds.count());
  return all_parked && released == count && bytes_each < 4600 && seconds.count() < 110 ? 0 : 1;
#endif
}

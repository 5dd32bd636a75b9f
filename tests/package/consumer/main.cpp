// Spawns fibers around a third-party library, and tells whether the library's blocking calls let the others
// run. It makes no call that libc has itself, so nothing but the linker flags under test brings coir-patch
// into the program.
//
// Exit status: 0 patched, 1 not patched, 2 a wrong result.

#include <algorithm>
#include <chrono>
#include <coir/coir.hpp>
#include <iostream>
#include <vector>

#include "third.h"

namespace {

using std::chrono::steady_clock;
constexpr int fibers = 10;
constexpr std::chrono::milliseconds period{100};

bool sleeps_overlap() {
  std::vector<coir::fiber<void>> sleepers;
  int asleep = 0, most = 0;
  const auto start = steady_clock::now();
  for (int i = 0; i < fibers; ++i)
    sleepers.push_back(coir::spawn([&] {
      most = std::max(most, ++asleep);
      third_sleep(static_cast<unsigned>(period.count()));
      --asleep;
    }));
  for (auto& f : sleepers) f.join();
  const auto taken = steady_clock::now() - start;
  std::cout << fibers << " sleeps of " << period.count() << " ms took "
            << std::chrono::duration_cast<std::chrono::milliseconds>(taken).count() << " ms\n";
  return taken >= period && most == fibers;
}

// All readers wait before the first byte is sent, so each must have let the next one run.
bool reads_overlap(long (*receive)(int, unsigned long)) {
  int ends[2];
  if (third_pair(ends) != 0) return false;
  std::vector<coir::fiber<long>> readers;
  for (int i = 0; i < fibers; ++i) readers.push_back(coir::spawn(receive, ends[0], 64UL));
  coir::this_fiber::yield();
  for (int i = 0; i < fibers; ++i)
    if (third_send(ends[1], "hello", 5) != 5) return false;
  long sum = 0;
  for (auto& f : readers) sum += f.get();
  std::cout << fibers << " readers got " << sum << " bytes\n";
  return sum == 5L * fibers;
}

}  // namespace

int main() {
  if (!sleeps_overlap()) {
    std::cout << "not patched\n";
    return 1;  // the reads would never end
  }
  if (!reads_overlap(third_recv) || !reads_overlap(third_read)) return 2;
  std::cout << "patched\n";
}

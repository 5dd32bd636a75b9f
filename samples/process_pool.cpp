// Shows: a computation in a worker process, other work meanwhile, then its result; and one that crashes.
// Try:   ./process_pool

#include <signal.h>

#include <coir/coir.hpp>
#include <cstdio>

namespace {

// The steps that the start below `limit` with the longest way takes to 1 (3n + 1, n / 2).
int longest_way(int limit) {
  std::puts("Hello from the process");
  int most = 0;
  for (long start = 1; start < limit; ++start) {
    int steps = 0;
    for (long n = start; n != 1; ++steps) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    most = steps > most ? steps : most;
  }
  return most;
}

}  // namespace

int main() {
  coir::process_pool pool(2);
  coir::future<int> result = pool.submit(longest_way, 1'000'000);

  coir::fiber<void> other = coir::spawn([] { std::puts("Main is doing other things..."); });
  const int steps = result.get();  // waits; had the function thrown, it would be thrown here
  other.join();
  std::printf("Process is all done: %d\n", steps);

  try {
    pool.submit([] { ::raise(SIGSEGV); }).get();
  } catch (const coir::worker_crashed& e) {
    std::printf("A worker %s\n", to_string(e.status()).c_str());  // and another takes its place
  }
}

// Shows: ten functions that block in libc's own ::sleep, side by side on one thread.
// Try:   ./hello_world       (ten hellos, three seconds, ten worlds; in turn it would take thirty)

#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <vector>

namespace {

void greet(int number) {
  std::printf("%d hello\n", number);
  ::sleep(3);  // parks this fiber; the other nine go on
  std::printf("%d world\n", number);
}

}  // namespace

int main() {
  std::vector<coir::fiber<void>> greeters;
  for (int number = 0; number < 10; ++number) {
    greeters.push_back(coir::spawn(greet, number));
  }
  for (auto& greeter : greeters) {
    greeter.get();
  }
}

// A program whose author has forgotten coir-patch.
#include <coir/coir.hpp>

#include <unistd.h>

int main() {
  auto other = coir::spawn([] { coir::this_fiber::sleep_for(std::chrono::milliseconds(1)); });
  coir::spawn(coir::attributes{.name = "culprit"}, [] { ::usleep(1000); }).join();
  other.join();
  return 0;
}

// Asks services for their front pages, at most 100 at once, two seconds for each: check HOST:PORT...
// Prints each answer as it comes. SIGINT and SIGTERM end it early; it still tells how far it came.
#include "check.hpp"

#include <csignal>
#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  const std::vector<std::string> addresses(argv + 1, argv + argc);
  std::size_t answered = 0;

  const auto work = coir::spawn([&] {
    const auto check_one = [](const std::string& address) { return check(address, 2s); };
    for (const std::string& line : coir::map_unordered(addresses, check_one, 100)) {
      std::puts(line.c_str());
      ++answered;
    }
  });
  const auto stop = [&](int) { work.cancel(); };
  const auto on_interrupt = coir::on_signal(SIGINT, stop);
  const auto on_terminate = coir::on_signal(SIGTERM, stop);

  work.join();
  std::printf("%zu of %zu checked\n", answered, addresses.size());
  return answered == addresses.size() ? 0 : 1;
}

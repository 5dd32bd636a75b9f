// A whole program on its first thread: 100 Boost fibers receive and sleep; some are left to the end of the
// program.
#include <coir/boost_fiber.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <boost/fiber/all.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bf = boost::fibers;

namespace {

int left_to_end = 10;

// Runs after the end of main, when the detached fibers have ended.
struct last_words {
  ~last_words() {
    ::usleep(1'000);  // a plain call again
    if (left_to_end == 0) return;
    std::fprintf(stderr, "%d detached fibers did not end\n", left_to_end);
    std::_Exit(1);
  }
} at_exit;

}  // namespace

int main() {
  coir::boost_fiber::use_coir();
  const auto start = std::chrono::steady_clock::now();
  std::vector<bf::fiber> fibers;
  int received = 0;
  for (int i = 0; i < 100; ++i)
    fibers.emplace_back([&] {
      int ends[2];
      if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
      bf::fiber sender([&] {
        ::usleep(100'000);
        if (::send(ends[1], "x", 1, 0) != 1) std::abort();
      });
      char byte;
      if (::recv(ends[0], &byte, 1, 0) == 1) ++received;
      sender.join();
      ::close(ends[0]);
      ::close(ends[1]);
    });
  for (bf::fiber& each : fibers) each.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%d received in %.3f s\n", received, took.count());
  for (int i = 0; i < left_to_end; ++i)
    bf::fiber([] {
      ::usleep(20'000);
      --left_to_end;
    }).detach();
  return received == 100 && took.count() < 5 ? 0 : 1;
}

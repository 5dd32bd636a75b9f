#include "crowd.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <coir/coir.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "support/process.hpp"

namespace clients {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

double ms_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

int threads() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Threads:")) return std::stoi(line.substr(8));
  throw std::runtime_error("/proc/self/status does not count threads");
}

// How long this thread has been ready to run while others had the processors.
class processor_wait {
 public:
  ~processor_wait() { ::close(fd_); }

  double ms() const {
    char text[64] = {};
    double ran = 0, waited = 0;
    if (::pread(fd_, text, sizeof text - 1, 0) > 0) std::sscanf(text, "%lf %lf", &ran, &waited);
    return waited / 1e6;
  }

 private:
  int fd_ = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);  // some kernels do not have it
};

// A fiber that wants to run every millisecond.
class ticker {
 public:
  ~ticker() { stop(); }

  void stop() {
    stop_ = true;
    fiber_.join();
  }
  // The longest time it did not, without what the machine took.
  double longest_ms() const { return longest_ms_; }
  int most_threads() const { return most_threads_; }

 private:
  void tick() {
    for (int count = 0; !stop_; ++count) {
      if (count % 16 == 0) most_threads_ = std::max(most_threads_, threads());
      const double waited_ms = wait_.ms();
      const auto before = steady_clock::now();
      coir::this_fiber::sleep_for(1ms);
      const double pause_ms = ms_since(before);
      longest_ms_ = std::max(longest_ms_, pause_ms - (wait_.ms() - waited_ms));
    }
  }

  bool stop_ = false;
  double longest_ms_ = 0;
  int most_threads_ = 0;
  processor_wait wait_;
  coir::fiber<void> fiber_ = coir::spawn([this] { tick(); });
};

double time_of(int operations, std::chrono::milliseconds apart, const std::function<void(int)>& one) {
  const auto start = steady_clock::now();
  coir::group all;
  for (int i = 0; i < operations; ++i) {
    all.spawn([&one, i] { one(i); });
    coir::this_fiber::sleep_for(apart);
  }
  all.join();
  return ms_since(start);
}

// What took too long; empty: nothing.
std::string once(const crowd& c, const std::function<void(int)>& one) {
  c.before();
  const double one_ms = time_of(1, 0ms, one);
  c.before();
  ticker beside;
  const double all_ms = time_of(c.operations, std::chrono::milliseconds(c.apart_ms), one);
  beside.stop();
  std::printf("%s: %s, %d operations in %.1f ms, one in %.1f ms, longest pause %.1f ms, %d threads\n", c.name,
              coir::inspect::reactor_name(), c.operations, all_ms, one_ms, beside.longest_ms(),
              beside.most_threads());
  std::fflush(stdout);
  const std::string name = c.name;
  if (slack() <= 1 && all_ms > c.most_ms)
    return name + ": took longer than " + std::to_string(c.most_ms) + " ms";
  if (beside.longest_ms() > c.most_pause_ms * slack()) return name + ": the thread was kept too long";
  return "";
}

// So that its own descriptors are there before others are counted.
void open_reactor() {
  const int fd = ::eventfd(0, EFD_CLOEXEC);
  pollfd never = {fd, POLLIN, 0};
  coir::spawn([&] { ::poll(&never, 1, 1); }).join();
  ::close(fd);
}

}  // namespace

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

double slack() {
  const char* text = std::getenv("CLIENTS_SLACK");
  return text != nullptr ? std::atof(text) : 1;
}

void run(const crowd& c, const std::function<void(int)>& one) {
  std::string late;
  for (int attempt = 0; attempt < 5; ++attempt)
    if (late = once(c, one); late.empty()) return;
  throw std::runtime_error(late);
}

int session(const std::function<void()>& body) try {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);
  open_reactor();
  const std::size_t descriptors = unit::open_descriptors();
  body();
  expect(unit::open_descriptors() == descriptors, "descriptors are left: " + std::to_string(descriptors) +
                                                      " before, " + std::to_string(unit::open_descriptors()) +
                                                      " after");
  expect(coir::inspect::fiber_count() == 0, "fibers are left:\n" + coir::inspect::dump());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

}  // namespace clients

// Shows: N waits of a second at once, by processes, threads and fibers: time, memory, and what fails at which
// N. Try:   ./scaling                                 (10 to 100,000 of each; writes scaling.svg)
//        ./scaling -k fibers -w 2 -o f.svg 1000000

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "plot.hpp"

namespace {

useconds_t wait_us = 1'000'000;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What a process has for itself, in MB.
double private_memory(::pid_t pid) {
  std::ifstream rollup("/proc/" + std::to_string(pid) + "/smaps_rollup");
  double kb = 0;
  for (std::string word; rollup >> word;)
    if (double n; word.rfind("Private_", 0) == 0 && rollup >> n) kb += n;
  return kb / 1024;
}

// A measurement; what failed, if that is not empty.
struct outcome {
  double seconds = 0;
  double megabytes = 0;
  char failure[120] = "";

  void fail(int begun, const std::string& why) {
    std::snprintf(failure, sizeof failure, "failed at %d: %s", begun + 1, why.c_str());
  }
};

void by_processes(int n, outcome& result) {
  std::vector<::pid_t> children;
  while (static_cast<int>(children.size()) < n) {
    const ::pid_t child = ::fork();
    if (child == 0) {
      ::usleep(wait_us);
      ::_exit(0);
    }
    if (child == -1) {
      result.fail(static_cast<int>(children.size()), std::strerror(errno));
      for (const ::pid_t c : children) ::kill(c, SIGKILL);
      break;
    }
    children.push_back(child);
  }
  if (!children.empty()) result.megabytes = private_memory(children.back()) * n;
  for (const ::pid_t c : children) ::waitpid(c, nullptr, 0);
}

void by_threads(int n, outcome& result) {
  const double before = private_memory(::getpid());
  std::vector<std::thread> threads;
  try {
    while (static_cast<int>(threads.size()) < n) threads.emplace_back([] { ::usleep(wait_us); });
  } catch (const std::system_error& error) {
    result.fail(static_cast<int>(threads.size()), error.what());
  }
  result.megabytes = private_memory(::getpid()) - before;
  for (std::thread& t : threads) t.join();
}

void by_fibers(int n, outcome& result) {
  const double before = private_memory(::getpid());
  coir::group fibers;
  try {
    while (static_cast<int>(fibers.size()) < n) fibers.spawn([] { ::usleep(wait_us); });
  } catch (const std::system_error& error) {
    result.fail(static_cast<int>(fibers.size()), error.what());
  }
  coir::this_fiber::yield();  // all of them wait
  result.megabytes = private_memory(::getpid()) - before;
  fibers.join();
}

struct kind {
  const char* name;
  const char* colour;
  void (*wait)(int n, outcome& result);
};
constexpr kind kinds[] = {
    {"processes", "#c33", by_processes}, {"threads", "#36c", by_threads}, {"fibers", "#393", by_fibers}};

// How many processes or threads this machine has room for without others noticing: half of what is left.
int polite_limit() {
  long least = 1L << 20;
  for (const char* file :
       {"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max", "/sys/fs/cgroup/pids.max"})
    if (long n; std::ifstream(file) >> n) least = std::min(least, n);
  ::rlimit mine;
  if (::getrlimit(RLIMIT_NPROC, &mine) == 0 && mine.rlim_cur != RLIM_INFINITY)
    least = std::min(least, static_cast<long>(mine.rlim_cur));
  std::ifstream memory("/proc/meminfo");
  for (std::string word; memory >> word;)
    if (long kb; word == "MemAvailable:" && memory >> kb) least = std::min(least, kb / 512);
  return static_cast<int>(least / 2);
}

// In a process of its own, so that each begins with nothing and leaves nothing.
outcome measure(const kind& k, int n) {
  outcome result;
  if (k.wait != by_fibers && n > polite_limit()) {
    std::snprintf(result.failure, sizeof result.failure,
                  "not tried: more than %d, half of what this machine allows", polite_limit());
    return result;
  }
  int ends[2];
  if (::pipe(ends) == -1) throw std::system_error(errno, std::generic_category(), "pipe");
  const ::pid_t child = ::fork();
  if (child == -1) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    const auto start = std::chrono::steady_clock::now();
    k.wait(n, result);
    result.seconds = seconds_since(start);
    ::_exit(::write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
  }
  ::close(ends[1]);
  if (::read(ends[0], &result, sizeof result) != sizeof result) result.fail(0, "the measuring process ended");
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return result;
}

double positive(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0' || !(value > 0 && value < 1e9))
    throw std::invalid_argument("\"" + text + "\": expected a number greater than zero");
  return value;
}

}  // namespace

int main(int argc, char** argv) try {
  std::string wanted = "processes,threads,fibers", file = "scaling.svg";
  for (int option; (option = ::getopt(argc, argv, "k:o:w:")) != -1;) {
    if (option == 'k') wanted = optarg;
    if (option == 'o') file = optarg;
    if (option == 'w') wait_us = static_cast<useconds_t>(positive(optarg) * 1e6);
    if (option == '?')
      throw std::invalid_argument("usage: scaling [-k KIND,...] [-o FILE] [-w SECONDS] [N...]");
  }
  std::vector<int> counts;
  for (; optind < argc; ++optind) counts.push_back(static_cast<int>(positive(argv[optind])));
  if (counts.empty()) counts = {10, 100, 1000, 10'000, 100'000};

  plot times{"Seconds for N waits at once", "N", {}}, memory{"Megabytes meanwhile", "N", {}};
  std::printf("%-10s %8s %10s %10s\n", "", "N", "seconds", "MB");
  for (const kind& k : kinds) {
    if (wanted.find(k.name) == std::string::npos) continue;
    times.lines.push_back({k.name, k.colour, {}});
    memory.lines.push_back({k.name, k.colour, {}});
    for (const int n : counts) {
      const outcome result = measure(k, n);
      if (result.failure[0] != '\0') {
        std::printf("%-10s %8d %s\n", k.name, n, result.failure);
        break;  // more of them would fail too
      }
      std::printf("%-10s %8d %10.2f %10.1f\n", k.name, n, result.seconds, result.megabytes);
      std::fflush(stdout);
      times.lines.back().points.emplace_back(n, result.seconds);
      memory.lines.back().points.emplace_back(n, std::max(result.megabytes, 0.01));
    }
  }
  write_svg(file, {times, memory});
} catch (const std::exception& error) {
  std::fprintf(stderr, "scaling: %s\n", error.what());
  return 2;
}

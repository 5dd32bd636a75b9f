// 1,000 times system("sleep 0.5"), 100 at a time: on fibers of one thread, and on as many threads.
//
// Prints milliseconds (system_fibers_ms, system_threads_ms).

#include <coir/coir.hpp>

#include <thread>
#include <vector>

#include "measure.h"

namespace {

constexpr int at_a_time = 100, each = 10;

void run_commands() {
  for (int i = 0; i < each; ++i)
    if (::system("sleep 0.5") != 0) ::abort();
}

double of_fibers() {
  const double start = wall_ns();
  coir::group all;
  for (int i = 0; i < at_a_time; ++i) all.spawn(run_commands);
  all.join();
  return (wall_ns() - start) / 1e6;
}

double of_threads() {
  const double start = wall_ns();
  std::vector<std::thread> all;
  for (int i = 0; i < at_a_time; ++i) all.emplace_back(run_commands);
  for (auto& t : all) t.join();
  return (wall_ns() - start) / 1e6;
}

}  // namespace

int main() {
  emit_begin("coir_patch");
  emit("system_threads_ms", of_threads());
  emit("system_fibers_ms", of_fibers());
  return emit_end();
}

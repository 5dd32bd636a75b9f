// Shows: a pool of 5 workers; results are taken as they finish, and what one task throws is that task's own.
// Try:   ./as_completed

#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct job {
  char name;
  int tenths;  // of a second
};

std::string work(const job& j) {
  ::usleep(static_cast<useconds_t>(j.tenths) * 100'000);  // plain libc: only this worker waits
  if (j.name == 'X') throw std::runtime_error("task X failed");
  return std::string("task ") + j.name + " took " + std::to_string(j.tenths) + " tenths";
}

}  // namespace

int main() {
  coir::pool workers(5);

  std::puts("five tasks, by handle:");
  std::vector<coir::fiber<std::string>> tasks;
  for (const job& j : std::vector<job>{{'A', 5}, {'B', 2}, {'X', 3}, {'D', 1}, {'E', 4}})
    tasks.push_back(workers.spawn(work, j));
  for (const coir::fiber<std::string>& task : coir::as_completed(tasks)) {
    try {
      std::puts(task.get().c_str());
    } catch (const std::runtime_error& error) {
      std::puts(error.what());
    }
  }

  std::puts("eight tasks, by result, never more than five at once:");
  const std::vector<job> jobs = {{'A', 9}, {'B', 3}, {'C', 7}, {'D', 5},
                                 {'E', 1}, {'F', 1}, {'G', 4}, {'H', 5}};
  for (const std::string& result : workers.map_unordered(jobs, work)) std::puts(result.c_str());
}

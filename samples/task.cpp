// Shows: a task started in the background, other work meanwhile, then waiting for its result.
// Try:   ./task

#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>

namespace {

int hello() {
  std::puts("Hello from the task");
  ::sleep(1);  // plain libc: only this task waits
  return 42;
}

}  // namespace

int main() {
  coir::fiber<int> task = coir::spawn(hello);  // queued: it runs when main next waits or yields
  coir::this_fiber::yield();                   // lets it start now
  std::puts("Main is doing other things...");
  const int answer = task.get();  // waits; had hello() thrown, it would be thrown here
  std::puts("Task is all done");
  return answer == 42 ? 0 : 1;
}

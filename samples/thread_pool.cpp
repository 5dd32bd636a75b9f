// Shows: work for a pool of threads: submitted, done beside main, and its result awaited.
// Try:   ./thread_pool

#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <functional>

namespace {

int hello(coir::event& begun) {
  std::puts("Hello from the thread");
  begun.set();  // coir's events work between threads
  ::sleep(1);   // on a thread of the pool, which may block, or compute
  return 42;
}

}  // namespace

int main() {
  coir::event begun;
  coir::thread_pool pool(5);
  const coir::future<int> result = pool.submit(hello, std::ref(begun));
  begun.wait();
  std::puts("Main is doing other things...");
  std::printf("Thread is all done: %d\n", result.get());  // had hello() thrown, it would be thrown here
}  // leaving the scope waits for all that was submitted

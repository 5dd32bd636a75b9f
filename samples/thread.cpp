// Shows: while a fiber waits in std::thread::join, the other fibers of its thread go on.
// Try:   ./thread

#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <future>
#include <thread>

namespace {

void hello(std::promise<void>& begun) {
  std::puts("Hello from the thread");
  begun.set_value();
  ::sleep(1);
}

}  // namespace

int main() {
  std::promise<void> begun;
  coir::spawn([beginning = begun.get_future().share()] {
    beginning.wait();
    std::puts("Main is doing other things...");
  });
  std::thread thread(hello, std::ref(begun));
  thread.join();
  std::puts("Thread is all done");
}

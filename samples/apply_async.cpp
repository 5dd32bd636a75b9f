// Shows: multiprocessing.pool's apply_async: a call handed to a pool, asked about, waited for, with a
// callback. Try:   ./apply_async

#include <unistd.h>

#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <functional>
#include <string>

namespace {

std::string hello(const std::string& who, coir::event& begun) {
  std::printf("Hello from the %s\n", who.c_str());
  begun.set();
  ::sleep(1);
  return "result of the " + who;
}

}  // namespace

int main() {
  using namespace std::chrono_literals;
  coir::event begun, called_back;
  coir::thread_pool pool(2);
  const auto result = pool.submit(hello, "task", std::ref(begun));
  result.on_done([&](const coir::future<std::string>& done) {  // on the pool's thread
    if (done.successful()) called_back.set();
  });
  begun.wait();
  if (!result.wait_for(100ms)) std::puts("Main is doing other things...");
  const std::string value = result.get();
  called_back.wait();
  std::printf("Task is all done: %s\n", value.c_str());
}

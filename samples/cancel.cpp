// Shows: cancelling tasks; C++ code is unwound by an exception, a libc call ends early with an error.
// Try:   ./cancel

#include <unistd.h>

#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <string>

namespace {

using namespace std::chrono_literals;

struct resource {
  explicit resource(const char* name) : name_(name) { std::printf("  %s opened\n", name_); }
  ~resource() { std::printf("  %s closed\n", name_); }
  resource(const resource&) = delete;
  resource& operator=(const resource&) = delete;

 private:
  const char* name_;
};

// Waits in a coir call: coir::cancelled comes out of it.
void worker() {
  const resource database("database");
  try {
    const resource transaction("transaction");
    for (;;) coir::this_fiber::sleep_for(1h);
  } catch (const coir::cancelled&) {  // not a std::exception, so no catch of those swallows it
    std::puts("  rolled back");
    throw;  // always pass it on
  }
}

// Waits in libc, maybe below C code that no exception may cross: the call returns early, as after a signal.
void old_code() {
  const resource file("file");
  const unsigned left = ::sleep(3600);
  std::printf("  sleep interrupted, more than %u min left\n", left / 60 - 1);
  coir::this_fiber::check_cancelled();  // back in C++: throws if this fiber is cancelled
  std::puts("  not reached");
}

void cancel(coir::fiber<void> task) {
  std::printf("cancelling %s\n", std::string(task.name()).c_str());
  task.cancel();
  try {
    task.get();
    std::puts("ended by itself");
  } catch (const coir::cancelled&) {
    std::printf("%s is cancelled\n", std::string(task.name()).c_str());
  }
}

}  // namespace

int main() {
  auto first = coir::spawn(coir::attributes{.name = "worker"}, worker);
  auto second = coir::spawn(coir::attributes{.name = "old_code"}, old_code);
  coir::this_fiber::sleep_for(10ms);  // both start, then wait
  cancel(first);
  cancel(second);
  cancel(coir::spawn(coir::attributes{.name = "never begun"}, worker));  // never runs: nothing to clean up
}

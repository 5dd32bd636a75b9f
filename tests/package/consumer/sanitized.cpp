// usage: sanitized [overrun | race]
// A program built with AddressSanitizer or ThreadSanitizer that uses fibers; coir is built without. Prints
// "worked", or makes the mistake that it is asked for, on a fiber.
#include <sys/socket.h>
#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int fibers = 200;
std::mutex mutex;
long sum = 0;
int unguarded = 0;

// Frames that a sanitizer watches, left by a return and by an exception, and waits in both.
int checked(int n) {
  char room[2000];
  std::memset(room, n, sizeof room);
  ::usleep(1000);
  if (n % 3 == 0) throw std::runtime_error("a third of them");
  return room[n];
}

void add(int n) {
  const auto kept = std::make_unique<int>(n);
  try {
    *kept = checked(n % 100);
  } catch (const std::runtime_error&) {
    ::usleep(10);
    return;
  }
  const std::lock_guard guard(mutex);
  ::usleep(10);
  sum += *kept;
}

void many() {
  std::vector<coir::fiber<void>> all;
  for (int i = 0; i < fibers; ++i) all.push_back(coir::spawn(add, i));
  for (auto& f : all) f.join();
}

bool talks() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
  auto reader = coir::spawn([&] {
    char text[16] = {};
    return std::string(text, static_cast<std::size_t>(::read(ends[0], text, sizeof text)));
  });
  coir::this_fiber::yield();
  return ::write(ends[1], "hello", 5) == 5 && reader.get() == "hello";
}

void overrun(volatile int* numbers, int at) {
  ::usleep(10);
  numbers[at] = 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mistake = argc > 1 ? argv[1] : "";
  std::thread other(many);
  many();
  other.join();
  if (mistake == "overrun") {
    const std::unique_ptr<int[]> numbers(new int[4]);
    coir::spawn([&] { overrun(numbers.get(), 4); }).join();
  }
  if (mistake == "race") {
    std::thread racer([] { coir::spawn([] { ++unguarded; }).join(); });
    coir::spawn([] { ++unguarded; }).join();
    racer.join();
  }
  coir::spawn([] {  // still waits when the program ends, and leaks nothing
    const auto kept = std::make_unique<int>(1);
    ::pause();
  });
  if (!talks() || sum == 0) return 1;
  std::puts("worked");
}

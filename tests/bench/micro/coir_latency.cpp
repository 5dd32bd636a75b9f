// usage: coir_latency
// How late fibers are served beside others that compute half a millisecond between their switches: the latest
// of 40 sleeps and of 40 reads of a pipe, in microseconds, beside two and beside a hundred.

#include <poll.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "measure.h"

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr auto slice = 500us;
constexpr int rounds = 40;

void compute() {
  const auto end = clock_type::now() + slice;
  while (clock_type::now() < end) {
  }
}

double microseconds(clock_type::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

double latest_timer() {
  clock_type::duration latest{};
  for (int i = 0; i < rounds; ++i) {
    const auto due = clock_type::now() + 3ms + i * 70us;
    coir::this_fiber::sleep_until(due);
    latest = std::max(latest, clock_type::now() - due);
  }
  return microseconds(latest);
}

// Each byte says when it was written.
double latest_read() {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  // A thread's first wait opens its reactor, for which the kernel enlarges its table of descriptors.
  pollfd nothing = {ends[0], POLLIN, 0};
  ::poll(&nothing, 1, 1);
  std::thread writer([&] {
    for (int i = 0; i < rounds; ++i) {
      std::this_thread::sleep_for(3ms + i * 70us);
      const auto now = clock_type::now();
      if (::write(ends[1], &now, sizeof now) != sizeof now) std::abort();
    }
  });
  clock_type::duration latest{};
  for (int i = 0; i < rounds; ++i) {
    clock_type::time_point written;
    if (::read(ends[0], &written, sizeof written) != sizeof written) std::abort();
    latest = std::max(latest, clock_type::now() - written);
  }
  writer.join();
  ::close(ends[0]);
  ::close(ends[1]);
  return microseconds(latest);
}

template <class F>
double beside(int crowd, F latest) {
  bool stop = false;
  std::vector<coir::fiber<void>> computing;
  for (int i = 0; i < crowd; ++i)
    computing.push_back(coir::spawn([&] {
      while (!stop) {
        compute();
        coir::this_fiber::yield();
      }
    }));
  const double result = coir::spawn(latest).get();
  stop = true;
  for (auto& fiber : computing) fiber.join();
  return result;
}

}  // namespace

int main() {
  emit_begin("coir");
  emit("late_timer_2_us", beside(2, latest_timer));
  emit("late_read_2_us", beside(2, latest_read));
  emit("late_timer_100_us", beside(100, latest_timer));
  emit("late_read_100_us", beside(100, latest_read));
  return emit_end();
}

#include <sched.h>

#include <thread>

#include "host.hpp"

namespace fuzz {

void start_flows(int n, unsigned slow, const std::function<void(int)>& body) {
  if (slow != 0) {
    // On one processor the kernel has no choice.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  for (int i = 0; i < n; ++i)
    std::thread([body, i, idle = (slow >> i & 1) != 0] {
      const sched_param none = {};
      if (idle) sched_setscheduler(0, SCHED_IDLE, &none);
      body(i);
    }).detach();
}

}  // namespace fuzz

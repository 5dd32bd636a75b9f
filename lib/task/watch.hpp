// Waiting for one of a few descriptors of coir's own.
#pragma once

#include <cstdint>
#include <span>

#include "base/clock.hpp"

namespace coir::task {

struct watched {
  int fd;                // negative: one that the kernel refused to make
  std::uint32_t events;  // EPOLLIN, EPOLLOUT
};

// Suspends until one of them may be ready or was closed: to be asked without waiting, and
// waited for again if it has nothing. What cannot be waited for is looked at every few milliseconds. False
// at the deadline. Throws cancelled, timed_out or what was raised, but not while the stack unwinds.
bool wait_any(std::span<const watched> what, const char* reason, base::nanoseconds deadline = base::never);

}  // namespace coir::task

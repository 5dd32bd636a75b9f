// Describes fibers on a descriptor: for broken invariants, stack overflows and dumps. Async-signal-safe.
#pragma once

#include "base/check.hpp"
#include "sched/fiber.hpp"

namespace coir::sched {

// Connects base::describe_current_fiber and context::describe_overflow.
void install_descriptions() noexcept;

// "program(function+0x12) at 0x3456", as addr2line and a person can use it.
void describe_site(base::text_out& out, const void* address);

// One line: "fiber #12 "name" parked in recv, spawned at 0x… (program+0x…)".
void describe(base::text_out& out, const fiber& f);
inline void describe(int fd, const fiber& f) {
  base::text_out out(fd);
  describe(out, f);
}

}  // namespace coir::sched

// The world of a test that starts processes.
#pragma once

#include <sys/wait.h>

#include <cerrno>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/real_time.hpp"

namespace unit {

inline bool no_children() {
  return ::waitpid(-1, nullptr, WNOHANG | __WALL) == -1 && errno == ECHILD;
}

// Runs `f` on a thread of its own; afterwards no child may be left, nor a zombie.
template <class F>
void with_children(F&& f) {
  on_thread(f);
  CHECK(no_children());
}

}  // namespace unit

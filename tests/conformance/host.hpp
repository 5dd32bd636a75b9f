// Who runs the flows of a row: threads, fibers of one thread, or one fiber in each of several threads.
#pragma once

#include <functional>
#include <span>

#include "row.hpp"

namespace conformance {

struct host {
  const char* name;
  bool fibers;
  // Runs `body` as the row's first flow. Returns for how many milliseconds a thread with fibers was kept from
  // them.
  double (*run)(const std::function<void()>& body, bool with_ticker);
  void* (*start)(std::function<void()> body);
  void (*join)(void* flow);
  void (*settle)();
};

// Those of this program; the first is the usual one.
std::span<const host> hosts();

// In host_threads.cpp, part of both programs.
extern const host threads_host;
// A flow's thread tells that it runs, and that it ends.
void enter_thread();
void leave_thread();
// Returns when those threads, but for the caller's, sleep.
void settle_threads();

}  // namespace conformance

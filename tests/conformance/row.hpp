// A row of the conformance suite: a body of ordinary libc calls that notes what it saw.
//
// The same body runs on plain threads without coir and on fibers with coir-patch; what was noted must be the
// same. A body knows only this header: flows are threads or fibers, whichever the host makes of them. I1: a
// row notes nothing that differs from run to run: no numbers of descriptors or ports, times as classes only.
// I2: every row ends by itself within about a second, also where a call did not do what was expected of it.
#pragma once

#include <errno.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdarg>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace conformance {

using namespace std::chrono_literals;

// No errno of the kernel: what a call that succeeds must leave in errno.
inline constexpr int untouched = 4242;

class stopwatch {
 public:
  stopwatch() noexcept { restart(); }
  void restart() noexcept { ::clock_gettime(CLOCK_MONOTONIC, &start_); }
  double milliseconds() const noexcept;

 private:
  timespec start_;
};

// What one flow of a row noted, in its order.
class log {
 public:
  explicit log(std::string flow) : flow_(std::move(flow)) {}

  // "recv -> 5" or "recv -> -1 EAGAIN"; a success that changed errno is a failure. Returns `r`.
  long result(const char* call, long r, int error_after);
  void say(const char* format, ...) __attribute__((format(printf, 2, 3)));
  // What the man page is clear about. A failure fails the row on every host.
  bool check(bool holds, const char* what);
  // "took 50 ms" for no less than that and not much more: earlier is a failure, and so is half a second
  // later.
  void took(const stopwatch& since, double milliseconds);
  // What a call that waited within `since` wrote to be left of `whole` milliseconds: less than all, and no
  // less than what it cannot have waited. So a machine that is late makes no difference.
  void left(const stopwatch& since, double whole, double left_over);
  // Did not wait.
  void took_no_time(const stopwatch& since) { took(since, 0); }

  const std::string& flow() const noexcept { return flow_; }
  const std::vector<std::string>& lines() const noexcept { return lines_; }
  const std::vector<std::string>& failures() const noexcept { return failures_; }

 private:
  std::string flow_;
  std::vector<std::string> lines_;
  std::vector<std::string> failures_;
};

// Makes the call and notes its name, its result and its errno.
#define COIR_OBSERVE(o, ...)                               \
  ([&]() -> long {                                         \
    errno = conformance::untouched;                        \
    const long observed_ = static_cast<long>(__VA_ARGS__); \
    const int error_ = errno;                              \
    return (o).result(#__VA_ARGS__, observed_, error_);    \
  }())

// One more flow of control beside the body. Joined by its destructor.
class flow {
 public:
  flow(std::string name, std::function<void(log&)> body);
  ~flow() { join(); }
  flow(const flow&) = delete;
  flow& operator=(const flow&) = delete;

  void join();
  bool done() const noexcept { return done_.load(); }
  const char* state() const noexcept { return done() ? "returned" : "waits"; }

 private:
  std::atomic<bool> done_{false};
  void* handle_ = nullptr;
};

// Returns when every other flow waits or has ended.
void settle();

// Whether the flows are fibers: for the hard expectations of rows that are documented to differ.
bool on_fibers() noexcept;

enum row_flags : unsigned {
  nothing_special = 0,
  own_process = 1,   // changes the process too much for other rows to run in it
  no_ticker = 2,     // the thread must be asleep while the row waits: signals
  fibers_only = 4,   // about what threads do not have
  bad_reads = 8,     // passes pointers that a sanitizer would follow itself
  libc_checks = 16,  // about what a sanitizer's functions of these names do not do
  one_thread = 32,   // of what several threads with fibers may do otherwise: a difference in names.def
};

struct row {
  const char* name;
  void (*body)(log&);
  unsigned flags;
  row* next = nullptr;

  row(const char* row_name, void (*row_body)(log&), unsigned row_flags);
};

// COIR_ROW("subject: behaviour in the present tense") { body using the log `o` }
#define COIR_ROW_JOIN2(a, b) a##b
#define COIR_ROW_JOIN(a, b) COIR_ROW_JOIN2(a, b)
#define COIR_ROW_NAMED(id, name, flags)                                                   \
  static void COIR_ROW_JOIN(body_, id)(conformance::log & o);                             \
  static conformance::row COIR_ROW_JOIN(row_, id)(name, COIR_ROW_JOIN(body_, id), flags); \
  static void COIR_ROW_JOIN(body_, id)([[maybe_unused]] conformance::log & o)
#define COIR_ROW(name) COIR_ROW_NAMED(__COUNTER__, name, conformance::nothing_special)
#define COIR_ROW_WITH(flags, name) COIR_ROW_NAMED(__COUNTER__, name, flags)

}  // namespace conformance

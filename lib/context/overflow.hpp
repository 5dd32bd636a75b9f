// Recognises a fiber running into its guard, and tells it apart from any other SIGSEGV.
#pragma once

namespace coir::context {

// Asks whether the fault at `address`, of code whose stack pointer is `sp`, is one of the fiber running on
// this thread that has left its stack; if so, describes the overflow on fd 2 and returns true.
// Async-signal-safe. Set once by lib/sched.
extern bool (*describe_overflow)(const void* address, const void* sp) noexcept;

// How an overflow ends the process, once it is described.
[[noreturn]] void end_process() noexcept;

// Installs the SIGSEGV and SIGBUS handler of this process (once), in front of whatever was there: a fault
// that is no overflow goes on to the previous handler, or to the default action.
void install_overflow_handler() noexcept;

// The alternate signal stack of one thread: a fiber that overflowed has no room for a handler's frame.
class alternate_stack {
 public:
  alternate_stack() noexcept;  // keeps the thread's own one if it has one
  ~alternate_stack();          // thread exit
  alternate_stack(const alternate_stack&) = delete;
  alternate_stack& operator=(const alternate_stack&) = delete;

 private:
  void* memory_ = nullptr;
};

}  // namespace coir::context

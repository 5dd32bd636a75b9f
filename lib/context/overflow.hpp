// Recognises a fiber running into its guard, and tells it apart from any other SIGSEGV.
//
// For that coir's handler and an alternate stack are there first. The program does not see them: what it sets
// of SIGSEGV, SIGBUS and alternate stacks is kept, told and obeyed behind them, if its calls come here
// (coir-patch).
#pragma once

#include <signal.h>

namespace coir::context {

// Asks whether the fault at `address`, of code whose stack pointer is `sp`, is one of the fiber running on
// this thread that has left its stack; if so, describes the overflow on fd 2 and returns true.
// Async-signal-safe. Set once by lib/sched.
extern bool (*describe_overflow)(const void* address, const void* sp) noexcept;

// How an overflow ends the process, once it is described.
[[noreturn]] void end_process() noexcept;

// Installs the SIGSEGV and SIGBUS handler of this process (once), in front of whatever was there: a fault
// that is no overflow goes on to the program's handler, or to the default action.
void install_overflow_handler() noexcept;

// sigaction(2), of what the program sees: also where that handler is.
int exchange_action(int signal, const struct sigaction* now, struct sigaction* before) noexcept;
// sigaltstack(2) of this thread, of what the program sees.
int exchange_alternate_stack(const stack_t* now, stack_t* before) noexcept;

// The alternate signal stack of one thread: a fiber that overflowed has no room for a handler's frame.
class alternate_stack {
 public:
  alternate_stack() noexcept;  // keeps the thread's own one if it has one
  ~alternate_stack();          // thread exit
  alternate_stack(const alternate_stack&) = delete;
  alternate_stack& operator=(const alternate_stack&) = delete;

  int exchange(const stack_t* now, stack_t* before) noexcept;

 private:
  void install() noexcept;

  void* memory_ = nullptr;
};

}  // namespace coir::context

// Jumps (siglongjmp) out of signal handlers to a fiber that is in one of coir's calls.
//
// Made at once such a jump would leave coir's frames behind: a waiter in a queue, an operation at the kernel.
// So the handler is left without it, the fiber's wait ends as by EINTR, its call returns, and where it
// returns to the jump is made:
//   in the handler:     note     →  its thread hears of it as of every handler
//   on the thread:      deliver  →  the wait ends; `lie in wait` on the fiber's own stack: its call's return
//                                   address becomes that of `coir_land`
//   on the fiber:       the call cleans up and returns  →  `coir_land`  →  the jump
// I1: a fiber has at most one jump to make: a later one takes the place of the one before it.
// I2: what cannot be left (coir's own calls, pthread_join) ends the process with the fiber's
// name.
#pragma once

#include <setjmp.h>

#include "wait/coir_code.hpp"
#include "wait/waiter.hpp"

// The functions that begin a wait of coir's own, whose middle step their caller makes: they return into it.
#define COIR_FIRST_STEP __attribute__((section("coir_first_steps")))

namespace coir::wait {

struct jump {
  sched::fiber* of = nullptr;
  std::uint64_t id = 0;  // of that fiber: another may have its record by then
  __jmp_buf_tag* to = nullptr;
  int value = 0;
  std::uint64_t blocks = 0;  // the signals that the handler blocked, where `to` holds no mask
  void (*make)(const jump& j) noexcept = nullptr;
};

// The stack pointer in `to`; null where coir cannot read it.
const char* stack_pointer_of(const __jmp_buf_tag* to) noexcept;
// Whose stack that is. Of the fibers that are not the guest's.
sched::fiber* whose_stack(sched::scheduler& s, const char* at) noexcept;

// From now on code there is coir's. Before main.
void note_code(code_range code) noexcept;

// In a handler that interrupted the current fiber at work, `handlers` deep: whether the jump would leave
// frames of coir's. False where that cannot be told. If so the fiber lies in wait, where it can already.
bool leaves_coir(const char* to, int handlers, bool lie_in_wait) noexcept;
// Whether fibers can be made to land at all.
bool can_land() noexcept;
// In a handler.
void note(const jump& j) noexcept;

// A call that the current fiber makes on its own thread as it is: nothing is patched in it, and
// pthread_cancel ends nothing, as its unwinding would meet noexcept. Of one that `may_last` no frame below
// keeps anything, and a jump out of a handler that interrupts it is made at once: the call itself need not
// hear of signals.
class direct_call {
 public:
  direct_call(sched::scheduler& s, bool may_last) noexcept;
  ~direct_call();
  direct_call(const direct_call&) = delete;
  direct_call& operator=(const direct_call&) = delete;

  // In a handler: whether a jump to `to` leaves one that may be left.
  static bool can_be_left(const char* to) noexcept;
  // The jump is made: whatever call it leaves is over.
  static void left(const char* to) noexcept;

 private:
  sched::scheduler& s_;
  std::uint32_t patch_off_depth_;
  int cancel_state_;
  bool may_last_;
};

// On the thread: ends the waits of those who are to jump.
void deliver_jumps(sched::scheduler& s) noexcept;
// In the child of a fork.
void forget_jumps(const sched::fiber& but) noexcept;
// Ends the process: `f` cannot leave what it is in.
[[noreturn]] void refuse_jump(const sched::fiber& f) noexcept;

}  // namespace coir::wait

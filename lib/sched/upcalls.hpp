// What the scheduler asks of the layers above it. lib/task/upcalls.cpp fills it in at compile time, so that
// fibers work in the initialisers of global objects too.
#pragma once

#include <atomic>
#include <cstdint>

namespace coir::sched {

struct fiber;
class scheduler;

struct upcalls {
  // Runs a fiber's callable, keeps what leaves it, and wakes who joins it. (lib/task)
  void (*body)(fiber* self) noexcept = nullptr;
  // The last reference to an ended fiber is gone. (lib/task)
  void (*dispose)(fiber* ended) noexcept = nullptr;
  // Nothing can ever run again on this thread, the process's only one. True if a fiber was made ready.
  // (lib/wait)
  bool (*deadlock)(scheduler& s) noexcept = nullptr;
  // Signal handlers ran: scheduler::take_handled. `asleep`: the kernel ended the thread's sleep for one,
  // which may be unknown. (lib/wait)
  void (*interrupted)(scheduler& s, bool asleep) noexcept = nullptr;
  // The thread ends with fibers left, or they had data. (lib/task)
  void (*thread_ends)(scheduler& s) noexcept = nullptr;
  // The thread may hold a lock that waking takes no longer: what handlers put off is due. (lib/wait)
  void (*late_wakes)() noexcept = nullptr;
  // In the child of a fork: `current` is the only fiber left, and no timer is armed any more. (lib/wait)
  void (*forked)(fiber& current) noexcept = nullptr;
  // The last fiber that the main one waits for has ended. (lib/wait)
  void (*ran_down)(scheduler& s) noexcept = nullptr;
  // There too, at first and with all signals blocked: all mailboxes were emptied. (lib/task)
  void (*mail_lost)() noexcept = nullptr;
};

extern const upcalls up;

// The signals that no mask of a fiber holds back.
extern std::uint64_t never_blocked;

// Those whose handler is coir's own and nobody else's: it ends no wait.
extern std::atomic<std::uint64_t> silent_signals;

// The kernel's name for the function that runs handlers and tells of each by scheduler::note_handler; or
// null.
extern std::atomic<void*> telling_handler;
// Whether some signal has a handler that does not.
bool has_other_handlers() noexcept;

// Called at the end of making a thread's scheduler, on the thread; or null.
extern void (*thread_begins)() noexcept;

}  // namespace coir::sched

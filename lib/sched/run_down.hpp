// The end of the process, for what the kernel still does for its threads.
#pragma once

#include <atomic>

namespace coir::sched {

// Has every reactor of the process let go of the descriptors that its operations hold (reactor::run_down):
// the kernel by itself does so only after the process is gone, and a port that a thread accepted at would
// still be in use for whoever starts next. Called at exit and by who ends the process otherwise. Waits for
// threads that sleep, which answer at once, and hardly for those that work. Any thread; in a signal handler
// only if that found the thread asleep, else it does nothing.
void run_down_process() noexcept;

// The process has a reactor that needs this.
void note_ring() noexcept;

// Tells whether this thread is in a signal handler; or null.
extern std::atomic<bool (*)() noexcept> in_handler;

}  // namespace coir::sched

// The end of the process, for what the kernel still does for its threads.
#pragma once

#include <atomic>
#include <memory>

namespace coir::sched {

// Has every reactor of the process let go of the descriptors that its operations hold (reactor::run_down):
// the kernel by itself does so only after the process is gone, and a port that a thread accepted at would
// still be in use for whoever starts next. Called at exit and by who ends the process otherwise. Waits for
// threads that sleep, which answer at once, and hardly for those that work. Any thread; in a signal handler
// only if that found the thread asleep, else it does nothing.
void run_down_process() noexcept;

// The same for an exec. The exec ends the other threads one by one and does not wait for what they leave to
// the kernel; it sees to the calling thread's itself. Those that let go stand still until it has failed, and
// then begin anew what they waited for. Null, at once, where there is nothing to do: in the child of a fork
// or vfork, without other threads, and where a signal handler may have interrupted malloc, or coir itself.
struct question;
std::shared_ptr<question> run_down_others() noexcept;
void exec_failed(question& asked) noexcept;

// The process has a reactor that needs this.
void note_ring() noexcept;

// Tells whether this thread is in a signal handler; or null.
extern std::atomic<bool (*)() noexcept> in_handler;

}  // namespace coir::sched

// Connects the scheduler to the layers above it, without running any code.
#include "task/life.hpp"
#include "wait/interrupt.hpp"
#include "wait/lot.hpp"

namespace coir::sched {

constinit const upcalls up = {task::body,
                              task::dispose,
                              task::deadlock,
                              wait::on_signal,
                              task::thread_ends,
                              wait::lot::wake_late_on_plain_thread,
                              wait::rearm_after_fork,
                              wait::on_ran_down,
                              task::mail_lost};

}  // namespace coir::sched

// The two ends of a fiber's life, as the scheduler calls them (sched::upcalls).
#pragma once

#include "wait/waiter.hpp"

namespace coir::task {

// Runs the callable of `self`, keeps what leaves it, and wakes who waits for the end.
void body(sched::fiber* self) noexcept;
// The links of an ended fiber are called, in their order.
void run_links(sched::fiber& ended) noexcept;
// The last reference to an ended fiber is gone: destroys the result, reports an exception nobody saw, frees
// the stack.
void dispose(sched::fiber* ended) noexcept;
// The thread ends: what fibers are left are cancelled, then the main one's data go.
void thread_ends(sched::scheduler& s) noexcept;

// In the child of a fork: all mailboxes were emptied (on_signal.cpp).
void mail_lost() noexcept;
// As wait::on_deadlock, unless a signal may come for which the thread has a function (on_signal.cpp).
bool deadlock(sched::scheduler& s) noexcept;

}  // namespace coir::task

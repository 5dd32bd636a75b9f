#pragma once

/// For programs written with Boost.Fiber.
namespace coir::boost_fiber {

/// Makes the calling thread's boost::fibers wait by coir: from now on each patched libc call (`recv`,
/// `accept`, `sleep`, `poll` …), each coir call that waits, and each of Boost.Fiber's own waits suspends only
/// the boost::fibers::fiber that makes it, or the thread's own stack. To be called once on each thread that
/// runs Boost fibers, before or after the first of them exists. It stays until the thread ends.
///
/// It installs a boost::fibers::algo::algorithm: round robin, which waits for I/O, timers, and wake-ups from
/// other threads in one place. A fiber keeps its errno over a patched call, and its exceptions in flight and
/// in handlers over every wait. Not part of <coir/coir.hpp>: link `coir-boost-fiber` (and `coir-patch`, for
/// the patched calls).
///
/// What is different from fibers of coir: `coir::spawn` throws std::logic_error on such a thread; a Boost
/// fiber cannot be cancelled, but `coir::timeout` ends its waits; deadlocks are not found; what runs on a
/// stack overflow is Boost's; `sched_yield` gives way to other threads, and to other fibers only when it is
/// called again and again (Boost's spinlocks call it). A thread's end runs its Boost fibers to their ends, as
/// Boost.Fiber always does. After a fork, fibers that were waiting in coir never go on in the child, so it
/// should exec or `_exit`.
///
/// Throws std::logic_error if it was called on this thread before, or if the thread has living coir fibers;
/// std::bad_alloc; std::system_error and std::invalid_argument as coir::spawn.
/// Suspends: no. Context: any Boost fiber of the thread, or its own stack.
/// Aborts, later: if another algorithm is installed in its place while fibers wait in coir.
void use_coir();

}  // namespace coir::boost_fiber

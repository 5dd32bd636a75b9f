#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace coir {

namespace detail {
class signal_subscription;
}

/// What `on_signal` returns: while it lives, its function is called. Movable.
class signal_handle {
 public:
  /// A handle to nothing.
  signal_handle() noexcept;
  /// Takes over what the other one holds.
  signal_handle(signal_handle&& other) noexcept;
  /// Takes over what the other one holds, after giving up its own.
  signal_handle& operator=(signal_handle&& other) noexcept;
  /// No call begins after this; one that runs goes on. When no handle for the signal is left in the process,
  /// what was done with it before is restored, unless somebody else has installed a handler meanwhile. Never
  /// suspends. Context: any fiber of the thread that called on_signal, or any thread when that one has ended.
  ~signal_handle();

 private:
  friend signal_handle on_signal(int, std::function<void(int)>);
  explicit signal_handle(std::shared_ptr<detail::signal_subscription> s) noexcept;
  std::shared_ptr<detail::signal_subscription> subscription_;
};

/// Has `f(signal)` called by a fiber of this thread when the process, or a thread of it, gets `signal`. In
/// `f` everything is allowed that a fiber may do.
///
/// Signals that come while `f` runs are joined into one more call, as the kernel joins those that are
/// pending: `f` is called after each, but not once for each. Each handle has its calls, by a fiber of its
/// own; several for a signal are called in the order of making. The calls see the inherited values of the
/// caller of on_signal. What `f` throws is reported as that of any fiber without a handle. Waits of the
/// program are not ended by the signal (no EINTR from patched calls, unless a handler that stood there before
/// asks for that); system calls that are not coir's are restarted as with SA_RESTART. A handler function
/// installed before is still called, first, in signal context. An ignored SIGCHLD, or one with SA_NOCLDWAIT,
/// goes on to leave no zombies. `waitpid` and all that builds on it are not disturbed: nothing is reaped.
/// SIGINT and SIGTERM do not end the process while there is a handle for them. A handle does not keep `run`
/// from returning. A main fiber that waits while there is one is not in deadlock. The thread must not block
/// the signal. In the child of a fork the handles of the forking thread live on. Never suspends. Throws
/// std::invalid_argument for what is no signal, cannot be caught (SIGKILL, SIGSTOP), is libc's own, or tells
/// of an error in the running code (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), and if `f` is empty;
/// std::logic_error on a thread of Boost.Fiber; std::bad_alloc; as coir::spawn when it is the first that the
/// thread wants of coir.
signal_handle on_signal(int signal, std::function<void(int)> f);

}  // namespace coir

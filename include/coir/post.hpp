#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "coir/detail/post_job.hpp"
#include "coir/fiber.hpp"

namespace coir::sched {
class mailbox;
}

namespace coir {

/// Names a thread that has fibers, for `post`. Two words; may be kept when the thread has ended.
class thread_handle {
 public:
  /// A handle to no thread.
  constexpr thread_handle() noexcept = default;
  /// Whether it belongs to a thread, alive or not.
  bool valid() const noexcept { return mailbox_ != nullptr; }
  /// Whether both name the same thread.
  friend bool operator==(const thread_handle&, const thread_handle&) noexcept = default;

 private:
  friend class detail::poster;
  sched::mailbox* mailbox_ = nullptr;
  std::uint64_t generation_ = 0;  // which of the mailbox's owners
};

/// The calling thread. Never suspends. Throws as coir::spawn when it is the first that the thread wants of
/// coir.
thread_handle this_thread_handle();

/// Has `f(args...)` called by a new fiber of the thread `to`, with copies of both, and returns the future of
/// its result (asyncio's run_coroutine_threadsafe). Inherited values are those of the caller.
///
/// Calls posted by one thread begin in the order of posting. They begin when the thread's fibers next wait
/// (while these only yield to each other, half a millisecond later or at the 256th yield); a thread whose
/// fibers all wait is woken. One that has not begun can be cancelled by its future. The future ends with
/// std::system_error (no_such_process) if the thread has ended, or ends before the call has begun; with what
/// `spawn` throws there, if no fiber can be made. What the call throws is kept in the future, and reported on
/// stderr if nobody can see it there. A thread that waits for posts only, in the only thread of the process,
/// waits for what cannot come, and is told of the deadlock as usual: handles do not count, as only other
/// threads can use them. In the child of a fork all threads but the forking one have ended, and what the
/// parent's threads posted is the parent's: who waits for that gets std::future_error(broken_promise). Never
/// suspends. Throws std::invalid_argument if `to` is not valid(); std::bad_alloc; what copying throws.
/// Context: any thread, whether it uses coir or not; not a signal handler.
template <class F, class... Args>
auto post(const thread_handle& to, F&& f, Args&&... args) {
  using result = detail::result_of<F, Args...>;
  using call = detail::call_of<F, Args...>;
  static_assert(std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>,
                "coir::post: f(args...) must be a valid call");
  std::shared_ptr<detail::posted<result, call>> job;
  if constexpr (sizeof...(Args) == 0)
    job = std::make_shared<detail::posted<result, call>>(call{std::forward<F>(f)});
  else
    job = std::make_shared<detail::posted<result, call>>(
        call{std::forward<F>(f), {std::forward<Args>(args)...}});
  detail::post(to, job);
  return future<result>(std::move(job));
}

}  // namespace coir

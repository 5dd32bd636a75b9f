// Plain threads that do jobs in the order of coming: started as needed, up to a limit, and ended when idle
// for long. Nothing of theirs is patched, and no signal comes to them
// but what their own code's errors cause.
//
// Constant-initialised, so that it works before constructors run. What is static is never ended; whatever is
// destroyed must have been ended by `close` and found `empty`.
// I1: `lock` guards all but `work_`, which counts what idle threads are to look at, and is what they sleep
// on. I2: a thread that finds no job and is to end leaves `threads_` at once, and `living_` when the last of
// its
//     thread-local objects has been destroyed. It touches nothing of this after that.
#pragma once

#include <cstddef>

#include "base/clock.hpp"
#include "coir/detail/thread_job.hpp"
#include "wait/waiter.hpp"

namespace coir::wait {

using detail::thread_job;

// While this thread starts one: nothing of the new one's is patched.
extern constinit thread_local bool starts_worker __attribute__((tls_model("initial-exec")));

class workers {
 public:
  constexpr workers(const char* name, unsigned most, base::nanoseconds idle, std::size_t stack_size) noexcept
      : name_(name), idle_limit_(idle), stack_size_(stack_size), most_(most) {}
  workers(const workers&) = delete;
  workers& operator=(const workers&) = delete;

  enum class answer : std::uint8_t { queued, no_thread, closed };  // but for `queued`, nothing has happened
  // Queues `job`. `endless`: a thread is started if none is idle, whatever their number.
  answer submit(thread_job& job, bool endless = false) noexcept;
  // On a thread of it, by a job: nothing is left to do but to wake who waits. It counts as idle already, so
  // that who is woken and submits the next job does not start another thread for that.
  void nearly_done() noexcept;
  // Threads beyond `most` end when they have done their present jobs.
  void resize(unsigned most) noexcept;
  unsigned most() noexcept;
  // Those that do or await jobs.
  unsigned threads() noexcept;

  // From now on only its own threads may submit; they end when they find no job.
  void close() noexcept;
  // The jobs that no thread has begun, linked by next_job.
  thread_job* take_all() noexcept;
  // Takes one out of the queue; false if it is not there any more.
  bool withdraw(thread_job& job) noexcept;
  // Waits, once closed, until no thread is left; true then. Suspends.
  outcome wait_until_empty(mode m);

  // The one whose thread this is, or null.
  static workers* here() noexcept { return here_; }

  // In the child of a fork: the threads and their jobs stayed with the parent.
  void forget_in_child() noexcept;

 private:
  static int end_key() noexcept;
  static void* body(void* self) noexcept;
  void work() noexcept;
  void left() noexcept;
  bool start_thread() noexcept;
  void append_locked(thread_job& job) noexcept;
  bool withdraw_locked(thread_job& job) noexcept;
  thread_job* take_all_locked() noexcept;
  void not_started_locked(unsigned how_many) noexcept;
  thread_job* orphans_locked() noexcept;
  static void refuse(thread_job* orphans) noexcept;
  void wake_idle(int how_many) noexcept;

  static inline thread_local bool nearly_done_ __attribute__((tls_model("initial-exec"))) = false;
  static inline thread_local bool endless_job_ __attribute__((tls_model("initial-exec"))) = false;
  static inline thread_local workers* here_ __attribute__((tls_model("initial-exec"))) = nullptr;

  static inline thread_local bool ends_ __attribute__((tls_model("initial-exec"))) = false;

  const char* name_;
  base::nanoseconds idle_limit_;
  std::size_t stack_size_;     // 0: the system's default
  detail::wait_list leaving_;  // who waits for the end; its lock is the lock
  thread_job* first_ = nullptr;
  thread_job* last_ = nullptr;
  unsigned most_;
  unsigned threads_ = 0;
  unsigned living_ = 0;
  unsigned idle_ = 0;
  unsigned queued_ = 0;
  unsigned endless_ = 0;  // jobs of that kind, queued or running
  bool closed_ = false;
  std::atomic<std::uint32_t> work_{0};
};

}  // namespace coir::wait

// The pool behind coir::thread_pool, and what is queued in it. Internal.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "coir/detail/call_state.hpp"
#include "coir/detail/context.hpp"
#include "coir/detail/thread_job.hpp"

namespace coir::wait {
class workers;
}

namespace coir {

struct thread_pool_attributes;

namespace detail {

// A job is taken once: by a thread of the pool, by who waits for it there, or by who calls it off. The last
// two take it out of the queue, too.
class pool_job : public thread_job {
 public:
  pool_job() noexcept;
  pool_job(const pool_job&) = delete;
  pool_job& operator=(const pool_job&) = delete;

  bool take() noexcept { return !taken_.exchange(true, std::memory_order_acq_rel); }
  // After take: out of the queue, if it is there.
  void leave_queue() noexcept;
  // Whether the caller is a thread of its pool.
  bool in_own_pool() const noexcept;

 protected:
  virtual ~pool_job() = default;
  virtual void perform() noexcept = 0;   // by who took it: makes the future ready
  virtual void call_off() noexcept = 0;  // has the future end as cancelled, if it can still be taken
  virtual void fail(std::exception_ptr why) noexcept = 0;  // by who took it

  context seen_;  // by who submitted it

 private:
  friend class thread_pool_core;
  std::atomic<bool> taken_{false};
  std::shared_ptr<wait::workers> pool_;  // kept, as its future may be cancelled when the pool is no more
  std::shared_ptr<pool_job> self_;       // while it is queued
};

template <class R, class Call>
class pooled final : public call_state<R, Call>, public pool_job {
 public:
  using call_state<R, Call>::call_state;

  bool withdraw() noexcept override {
    if (!take()) return false;
    clear();
    leave_queue();
    return true;
  }
  void help() noexcept override {
    if (!in_own_pool() || !take()) return;
    leave_queue();
    perform();
  }

 private:
  void perform() noexcept override {
    try {
      const in_context as_submitted(std::move(seen_));
      this->make();
    } catch (...) {
      this->error = std::current_exception();
    }
    clear();
    if (this->try_claim()) this->finish();
  }
  void call_off() noexcept override { this->cancel(); }
  void fail(std::exception_ptr why) noexcept override {
    clear();
    this->error = std::move(why);
    if (this->try_claim()) this->finish();
  }
  void clear() noexcept {
    this->call_.reset();
    seen_ = {};
  }
};

class thread_pool_core {
 public:
  thread_pool_core(std::ptrdiff_t size, const thread_pool_attributes& how);
  ~thread_pool_core();
  thread_pool_core(const thread_pool_core&) = delete;
  thread_pool_core& operator=(const thread_pool_core&) = delete;

  void submit(std::shared_ptr<pool_job> job);
  void resize(std::ptrdiff_t size);
  std::size_t size() const noexcept;
  std::size_t threads() const noexcept;
  void close() noexcept;
  void cancel_pending() noexcept;
  void shutdown();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace detail
}  // namespace coir

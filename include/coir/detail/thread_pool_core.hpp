// The pool behind coir::thread_pool, and what is queued in it. Internal.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "coir/detail/context.hpp"
#include "coir/detail/thread_job.hpp"
#include "coir/promise.hpp"

namespace coir {

struct thread_pool_attributes;

namespace detail {

// A job is taken once: by a thread of the pool, by who waits for it there, or by who calls it off. One that
// was taken stays in the queue, as a husk, until its turn comes.
class pool_job : public thread_job {
 public:
  pool_job() noexcept;
  pool_job(const pool_job&) = delete;
  pool_job& operator=(const pool_job&) = delete;

  bool take() noexcept { return !taken_.exchange(true, std::memory_order_acq_rel); }
  // The pool's, and the process that submitted it was the parent of this one: nobody will ever do it.
  bool stayed_with_parent() const noexcept;
  // Whether the caller is a thread of its pool.
  bool in_own_pool() const noexcept;

 protected:
  virtual ~pool_job() = default;
  virtual void perform() noexcept = 0;   // by who took it: makes the future ready
  virtual void call_off() noexcept = 0;  // has the future end as cancelled, if it can still be taken
  static void report_unseen(std::exception_ptr error) noexcept;

  context seen_;  // by who submitted it

 private:
  friend class thread_pool_core;
  std::atomic<bool> taken_{false};
  std::uint32_t process_;  // how many forks it has seen
  const void* pool_ = nullptr;
  std::shared_ptr<pool_job> self_;  // while it is queued
};

template <class R, class Call>
class pooled final : public promise_state<R>, public pool_job {
 public:
  template <class... Parts>
  explicit pooled(Parts&&... parts) : call_(std::in_place, std::forward<Parts>(parts)...) {}
  ~pooled() override {
    if (this->error != nullptr && !this->error_seen.load(std::memory_order_relaxed) && !this->is_cancelled())
      report_unseen(this->error);
  }

  bool withdraw() noexcept override {
    if (!take()) return false;
    clear();
    return true;
  }
  void help() noexcept override {
    if (stayed_with_parent()) {
      if (!this->try_claim()) return;
      this->error = std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
      this->finish();
    } else if (in_own_pool() && take()) {
      perform();
    }
  }

 private:
  void perform() noexcept override {
    try {
      const in_context as_submitted(std::move(seen_));
      if constexpr (std::is_void_v<R>) {
        (*call_)();
        this->emplace();
      } else {
        this->emplace((*call_)());
      }
    } catch (...) {
      this->error = std::current_exception();
    }
    clear();
    if (this->try_claim()) this->finish();
  }
  void call_off() noexcept override { this->cancel(); }
  void clear() noexcept {
    call_.reset();
    seen_ = {};
  }

  std::optional<Call> call_;
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
  std::unique_ptr<state> state_;
};

}  // namespace detail
}  // namespace coir

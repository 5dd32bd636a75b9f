// A call on its way to another thread. Internal: use coir::post.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <utility>

#include "coir/detail/call_state.hpp"
#include "coir/detail/context.hpp"

namespace coir {

class thread_handle;

namespace detail {

class poster;

// Taken once: by the fiber that makes the call, by who calls it off, or by the thread's end.
class post_job {
 public:
  post_job() noexcept : seen_(context::of_caller()) {}
  post_job(const post_job&) = delete;
  post_job& operator=(const post_job&) = delete;

  bool take() noexcept { return !taken_.exchange(true, std::memory_order_acq_rel); }

 protected:
  virtual ~post_job() = default;
  virtual void perform() noexcept = 0;                     // by the fiber that took it
  virtual void fail(std::exception_ptr why) noexcept = 0;  // by who took it

 private:
  friend class poster;
  context seen_;  // by who posted it
  std::atomic<bool> taken_{false};
  bool has_fiber_ = false;  // the thread's own
};

// Sends it. What goes wrong is told by its future. Throws std::bad_alloc.
void post(const thread_handle& to, std::shared_ptr<post_job> job);

template <class R, class Call>
class posted final : public call_state<R, Call>, public post_job {
 public:
  using call_state<R, Call>::call_state;

  bool withdraw() noexcept override {
    if (!take()) return false;
    this->call_.reset();
    return true;
  }

 private:
  void perform() noexcept override {
    this->make();
    this->call_.reset();
    if (this->try_claim()) this->finish();
  }
  void fail(std::exception_ptr why) noexcept override {
    this->call_.reset();
    this->error = std::move(why);
    this->error_seen.store(true, std::memory_order_relaxed);  // the call threw nothing
    if (this->try_claim()) this->finish();
  }
};

}  // namespace detail
}  // namespace coir

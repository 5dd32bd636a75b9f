// A call on its way to another thread. Internal: use coir::post.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "coir/detail/context.hpp"
#include "coir/promise.hpp"

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
  virtual void perform() = 0;                              // by the fiber that took it
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
class posted final : public promise_state<R>, public post_job {
 public:
  explicit posted(Call&& call) : call_(std::move(call)) {}

  bool withdraw() noexcept override {
    if (!take()) return false;
    call_.reset();
    return true;
  }

 private:
  void perform() override {
    try {
      if constexpr (std::is_void_v<R>) {
        (*call_)();
        this->emplace();
      } else {
        this->emplace((*call_)());
      }
    } catch (...) {
      this->error = std::current_exception();
    }
    call_.reset();
    if (this->try_claim()) this->finish();
  }
  void fail(std::exception_ptr why) noexcept override {
    call_.reset();
    this->error = std::move(why);
    if (this->try_claim()) this->finish();
  }

  std::optional<Call> call_;
};

}  // namespace detail
}  // namespace coir

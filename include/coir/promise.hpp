#pragma once

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "coir/event.hpp"

namespace coir {

namespace detail {

struct nothing {};

template <class T>
struct promise_state {
  std::optional<std::conditional_t<std::is_void_v<T>, nothing, T>> value;
  std::exception_ptr error;
  std::atomic<bool> claimed{false};  // by the one set_ that counts
  event ready;

  void claim() {
    if (claimed.exchange(true, std::memory_order_relaxed))
      throw std::future_error(std::future_errc::promise_already_satisfied);
  }
};

}  // namespace detail

template <class T>
class promise;

/// The receiving end of a promise: a shared handle that any number of fibers and threads may wait on.
template <class T>
class future {
 public:
  future() noexcept = default;

  /// Whether it belongs to a promise.
  bool valid() const noexcept { return state_ != nullptr; }
  /// Whether a value or exception is there.
  bool ready() const { return checked().ready.is_set(); }
  /// Waits for the value and returns a reference to it (nothing for void), which lives as long as any future
  /// of this promise; rethrows the exception if that was set. Suspends. Throws also cancelled, timed_out or
  /// what was raised, and std::future_error: broken_promise if the promise was dropped, no_state if it
  /// belongs to none.
  decltype(auto) get() const {
    checked().ready.wait();
    if (state_->error) std::rethrow_exception(state_->error);
    if constexpr (!std::is_void_v<T>) return static_cast<T&>(*state_->value);
  }
  /// Waits until it is ready. Suspends. Throws as get, but not what was set.
  void wait() const { checked().ready.wait(); }
  /// The same for at most `d`; false if that passed first.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> d) const {
    return checked().ready.wait_for(d);
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool wait_until(std::chrono::time_point<Clock, Duration> t) const {
    return checked().ready.wait_until(t);
  }

 private:
  friend class promise<T>;
  explicit future(std::shared_ptr<detail::promise_state<T>> s) noexcept : state_(std::move(s)) {}
  detail::promise_state<T>& checked() const {
    if (!state_) throw std::future_error(std::future_errc::no_state);
    return *state_;
  }

  std::shared_ptr<detail::promise_state<T>> state_;
};

/// A value or exception set once, by any fiber or thread, for all who hold a future of it (gevent's
/// AsyncResult).
template <class T>
class promise {
 public:
  promise() : state_(std::make_shared<detail::promise_state<T>>()) {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&& other) noexcept {
    if (this != &other) {
      abandon();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  /// If nothing was set, those who wait get std::future_error(broken_promise).
  ~promise() { abandon(); }

  /// A handle to what will be set; may be called any number of times.
  future<T> get_future() const { return future<T>(state_); }

  /// Sets the value and wakes all who wait. Never suspends. Throws
  /// std::future_error(promise_already_satisfied), and what making the value throws; nothing is set then.
  template <class... Args>
  void set_value(Args&&... args) {
    state_->claim();
    try {
      state_->value.emplace(std::forward<Args>(args)...);
    } catch (...) {
      state_->claimed.store(false, std::memory_order_relaxed);  // still to be set, or to be broken
      throw;
    }
    state_->ready.set();
  }
  /// Sets an exception and wakes all who wait. Never suspends. Throws
  /// std::future_error(promise_already_satisfied).
  void set_exception(std::exception_ptr error) {
    state_->claim();
    state_->error = std::move(error);
    state_->ready.set();
  }

 private:
  void abandon() noexcept {
    if (!state_ || state_->claimed.exchange(true, std::memory_order_relaxed)) return;
    state_->error = std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
    state_->ready.set();
  }

  std::shared_ptr<detail::promise_state<T>> state_;
};

}  // namespace coir

#pragma once

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "coir/detail/future_core.hpp"

namespace coir {

namespace detail {

struct nothing {};

// A value that is a reference is kept as a pointer.
template <class T>
using kept = std::conditional_t<std::is_void_v<T>, nothing,
                                std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>>;

template <class T>
struct promise_state : future_core {
  std::optional<kept<T>> value;

  // With the state claimed. Throws what making the value throws.
  template <class... Args>
  void emplace(Args&&... args) {
    if constexpr (std::is_reference_v<T>)
      value.emplace(std::addressof(args)...);
    else
      value.emplace(std::forward<Args>(args)...);
  }
};

}  // namespace detail

template <class T>
class promise;

/// The receiving end of a promise, or of work that was submitted elsewhere: a shared handle that any number
/// of fibers and threads may wait on.
template <class T>
class future {
 public:
  using result_type = T;

  /// A handle to nothing; every other member but assignment, valid and destruction throws
  /// std::future_error (no_state) then.
  future() noexcept = default;

  /// Whether it belongs to a promise.
  bool valid() const noexcept { return state_ != nullptr; }
  /// Whether a value or exception is there. Never suspends.
  bool ready() const { return checked().is_over(); }
  /// Whether a value is there. Never suspends.
  bool successful() const { return ready() && state_->error == nullptr; }
  /// The exception that is there, or null; asking counts as having seen it. Never suspends.
  std::exception_ptr exception() const {
    if (!ready()) return nullptr;
    state_->error_seen.store(true, std::memory_order_relaxed);
    return state_->error;
  }
  /// Waits for the value and returns a reference to it (nothing for void), which lives as long as any future
  /// of this promise; rethrows the exception if that was set. Suspends. Throws also cancelled, timed_out or
  /// what was raised, and std::future_error: broken_promise if the promise was dropped.
  decltype(auto) get() const {
    checked().wait();
    if (__builtin_expect(state_->error != nullptr, 0)) std::rethrow_exception(exception());
    if constexpr (std::is_reference_v<T>)
      return static_cast<T>(**state_->value);
    else if constexpr (!std::is_void_v<T>)
      return static_cast<T&>(*state_->value);
  }
  /// Waits until it is ready. Suspends. Throws as get, but not what was set.
  void wait() const { checked().wait(); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> d) const {
    const std::int64_t ns = detail::checked_duration("coir::future::wait_for", d);
    return checked().wait_until(detail::deadline_after(ns));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool wait_until(std::chrono::time_point<Clock, Duration> t) const {
    return checked().wait_until(detail::deadline_at(t));
  }

  /// Calls it off. True: the future has ended with coir::cancelled, and work that was to make its value has
  /// not begun and never will. What a promise sets after that is ignored. False: it is ready, or the work has
  /// begun; nothing happens. Never suspends; any thread. Runs the callbacks.
  bool cancel() const {
    checked();
    const auto state = state_;  // a callback may drop this future
    return state->cancel();
  }
  /// Whether `cancel` ended it.
  bool cancelled() const { return checked().is_cancelled(); }

  /// Calls `f(future)` when it is ready, at once if it is and no other is being called. Callbacks run in the
  /// order of adding, on the thread that makes it ready; one that throws is reported on stderr and does not
  /// stop the others. They should not wait. Those of a future that a callback makes ready come after that
  /// callback. Returns a number for remove_on_done. Never suspends; any thread. Throws std::bad_alloc, and
  /// what copying `f` throws.
  template <class F>
  std::uint64_t on_done(F&& f) const {
    struct call {
      std::remove_cvref_t<F> f;
      std::weak_ptr<detail::promise_state<T>> state;  // whoever runs it holds the state
    };
    auto box = std::make_unique<call>(call{std::forward<F>(f), state_});
    const std::uint64_t id = checked().add_callback(
        [](void* context) {
          auto* c = static_cast<call*>(context);
          future done(c->state.lock());
          if constexpr (std::is_invocable_v<std::remove_cvref_t<F>&, future>)
            c->f(std::move(done));
          else
            c->f(done);
        },
        [](void* c) noexcept { delete static_cast<call*>(c); }, box.get());
    (void)box.release();
    return id;
  }
  /// Takes back the callback that on_done of this future gave the number `id`. True: it will not be called.
  /// False: it was called, is being called, or was taken back before. Never suspends; any thread.
  bool remove_on_done(std::uint64_t id) const { return checked().remove_callback(id); }

  /// Whether both belong to the same promise.
  friend bool operator==(const future& a, const future& b) noexcept { return a.state_ == b.state_; }

  /// Internal: of who makes a value.
  explicit future(std::shared_ptr<detail::promise_state<T>> s) noexcept : state_(std::move(s)) {}
  /// Internal: throws std::future_error (no_state).
  detail::promise_state<T>& checked() const {
    if (!state_) throw std::future_error(std::future_errc::no_state);
    return *state_;
  }

 private:
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

  /// Sets the value, wakes all who wait, and runs the callbacks (called by a callback: after that). Never
  /// suspends by itself. Ignored if a
  /// future was cancelled. Throws std::future_error (promise_already_satisfied; no_state if this was moved
  /// from), and what making the value throws; nothing is set then.
  template <class... Args>
  void set_value(Args&&... args) {
    const auto state = checked();  // who is woken may drop this promise
    if (!state->claim()) return;
    try {
      state->emplace(std::forward<Args>(args)...);
    } catch (...) {
      state->unclaim();  // still to be set, or to be broken
      throw;
    }
    state->finish();
  }
  /// The same with an exception. Throws std::invalid_argument if `error` is null.
  void set_exception(std::exception_ptr error) {
    const auto state = checked();
    if (error == nullptr)
      throw std::invalid_argument("coir::promise::set_exception: error=null: expected an exception");
    if (!state->claim()) return;
    state->error = std::move(error);
    state->finish();
  }

 private:
  std::shared_ptr<detail::promise_state<T>> checked() const {
    if (!state_) throw std::future_error(std::future_errc::no_state);
    return state_;
  }
  void abandon() noexcept {
    if (!state_ || !state_->try_claim()) return;
    state_->error = std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
    state_->finish();
  }

  std::shared_ptr<detail::promise_state<T>> state_;
};

namespace detail {

// For functions over many futures, whose caller is about to wait for them. As fiber's.
template <class T>
void* add_link(const future<T>& f, void (*run)(void* context), void (*drop)(void* context) noexcept,
               void* context) {
  return f.checked().add_link(run, drop, context);
}
template <class T>
void help(const future<T>& f) {
  f.checked().assist();
}
template <class T>
bool remove_link(const future<T>& f, void* link) {
  return f.checked().remove_link(link);
}

}  // namespace detail
}  // namespace coir

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "coir/detail/thread_pool_core.hpp"
#include "coir/fiber.hpp"
#include "coir/this_fiber.hpp"

namespace coir {

/// How the threads of a thread_pool are made.
struct thread_pool_attributes {
  /// Their name, as `top -H` and debuggers show it: at most 15 characters, what is longer is cut.
  std::string name = "coir-pool";
  /// A thread that had nothing to do for so long ends; it is replaced when there is work again.
  std::chrono::nanoseconds idle_time = std::chrono::seconds(10);
};

/// The results of thread_pool::map, in the order of the items, each as soon as it is there; of references,
/// copies of what they refer to.
///
/// `for (auto& r : pool.map(range, f))`, or `next` again and again. An item whose function threw throws that
/// in its turn; `next` then goes on with the following one. Destroying it calls off what has not begun.
/// Movable. Context: one fiber or thread at a time.
template <class R>
class map_results {
 public:
  /// What one item gives: `R` without a reference.
  using value_type = std::conditional_t<std::is_void_v<R>, bool, std::decay_t<R>>;

  /// Leaves the other one empty.
  map_results(map_results&& other) noexcept
      : futures_(std::move(other.futures_)),
        at_(std::exchange(other.at_, 0)),
        current_(std::move(other.current_)) {}
  map_results& operator=(map_results&&) = delete;
  /// Cancels what has not begun.
  ~map_results() {
    for (; at_ < futures_.size(); ++at_) futures_[at_].cancel();
  }

  /// The next result; empty (false for void) after the last. Suspends. Throws what the item's function threw;
  /// cancelled, timed_out or what was raised, and the result is not lost then.
  auto next() {
    if constexpr (std::is_void_v<R>) {
      if (at_ == futures_.size()) return false;
      const future<R> taken = take();
      const this_fiber::shield during;
      taken.get();
      return true;
    } else {
      if (at_ == futures_.size()) return std::optional<value_type>();
      const future<R> taken = take();
      const this_fiber::shield during;
      if constexpr (std::is_reference_v<R>)
        return std::optional<value_type>(std::in_place, taken.get());
      else
        return std::optional<value_type>(std::move(taken.get()));
    }
  }
  /// Waits for all, and returns those not taken yet. Throws the first exception in the order of the items.
  auto get() {
    if constexpr (std::is_void_v<R>) {
      while (next()) {
      }
    } else {
      std::vector<value_type> all;
      all.reserve(futures_.size() - at_);
      while (auto r = next()) all.push_back(std::move(*r));
      return all;
    }
  }

  /// An input iterator over the results, for `for`.
  class iterator {
   public:
    /// @cond
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::input_iterator_tag;
    using value_type = map_results::value_type;
    using difference_type = std::ptrdiff_t;

    value_type& operator*() const noexcept { return *from_->current_; }
    iterator& operator++() {
      from_->current_ = from_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !from_->current_.has_value(); }
    /// @endcond

   private:
    friend class map_results;
    explicit iterator(map_results* from) noexcept : from_(from) {}
    map_results* from_;
  };
  /// The results not taken yet; an input range.
  iterator begin() requires(!std::is_void_v<R>) {
    current_ = next();
    return iterator(this);
  }
  /// Behind the last.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend class thread_pool;
  map_results() = default;
  future<R> take() {
    futures_[at_].wait();  // it stays ours if this is interrupted; what comes later is for the next wait
    return std::move(futures_[at_++]);
  }

  std::vector<future<R>> futures_;
  std::size_t at_ = 0;
  std::optional<value_type> current_;
};

/// Plain threads that do what they are given, in the order of submission: for code that computes for long, or
/// blocks where no patch can help.
///
/// Jobs run outside of any fiber, with all signals blocked but those that tell of an error in the running
/// code; their libc calls are not patched. Who waits for a result suspends only its fiber. Threads are
/// started as needed, never more than the pool's size. What a job throws is kept in its future, and reported
/// on stderr if nobody can see it there. A job may submit others to its own pool and wait for them: a job
/// that waits for one that no thread has begun does it itself, unless the wait has a deadline of its own
/// (`wait_for`, wait_any_for and the like). After a fork the child's pool has no threads and no jobs, starts
/// new threads when it is used, and has the parent's jobs end with std::future_error(broken_promise) for
/// those who wait for them. Context: any fiber of any thread, and plain threads.
class thread_pool {
 public:
  /// At most `size` threads. Throws std::invalid_argument if that is not positive, or if `how.idle_time` is
  /// negative; std::bad_alloc. Never suspends.
  explicit thread_pool(std::ptrdiff_t size, const thread_pool_attributes& how = {}) : core_(size, how) {}
  /// As many threads as the machine has processors.
  thread_pool() : thread_pool(std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}
  /// Waits until all that was submitted is done, whatever happens to the caller meanwhile, and the threads
  /// have ended. Suspends. Must not be called by one of its own jobs: that aborts, unless the pool is
  /// a static object and the job called std::exit, which goes on without waiting then.
  ~thread_pool() = default;

  /// Has a thread call `f(args...)`, with copies of both, and returns the future of its result. A job that
  /// has not begun can be cancelled there. Inherited values are those of the caller. Never suspends. Throws
  /// std::logic_error after `close` or `shutdown`; std::system_error if there is no thread and none can be
  /// started; std::bad_alloc; what copying throws.
  template <class F, class... Args>
  auto submit(F&& f, Args&&... args) {
    using result = detail::result_of<F, Args...>;
    using call = detail::call_of<F, Args...>;
    static_assert(std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>,
                  "coir::thread_pool::submit: f(args...) must be a valid call");
    std::shared_ptr<detail::pooled<result, call>> job;
    if constexpr (sizeof...(Args) == 0)
      job = std::make_shared<detail::pooled<result, call>>(call{std::forward<F>(f)});
    else
      job = std::make_shared<detail::pooled<result, call>>(
          call{std::forward<F>(f), {std::forward<Args>(args)...}});
    core_.submit(job);
    return future<result>(std::move(job));
  }
  /// Submits and waits: returns what `f(args...)` does. Suspends. Throws as submit and future::get.
  template <class F, class... Args>
  auto apply(F&& f, Args&&... args) -> detail::result_of<F, Args...> {
    using result = detail::result_of<F, Args...>;
    const auto done = submit(std::forward<F>(f), std::forward<Args>(args)...);
    if constexpr (std::is_void_v<result>)
      done.get();
    else
      return static_cast<result&&>(done.get());
  }
  /// Submits `f(item)` for each item of `range`, with a copy of `f` each, and returns the results in the
  /// order of the items. Never suspends, unless the range does. Throws as submit; nothing more is begun then.
  template <std::ranges::input_range Range, class F>
  auto map(Range&& range, F f) {
    map_results<detail::result_of<F, std::ranges::range_value_t<Range>>> results;
    for (auto at = std::ranges::begin(range); at != std::ranges::end(range); ++at)
      results.futures_.push_back(
          submit(f, static_cast<std::decay_t<std::ranges::range_value_t<Range>>>(item_of<Range>(at))));
    return results;
  }
  /// The same for a range of tuples: `f(get<0>(item), get<1>(item), ...)`.
  template <std::ranges::input_range Range, class F>
  auto starmap(Range&& range, F f) {
    const auto spread = [f = std::move(f)](std::ranges::range_value_t<Range> item) mutable -> decltype(auto) {
      return std::apply(f, std::move(item));
    };
    return map(std::forward<Range>(range), spread);
  }

  /// Allows `size` threads from now on: more are started if jobs wait, surplus ones end after their present
  /// jobs. Throws std::invalid_argument if it is not positive. Never suspends.
  void resize(std::ptrdiff_t size) { core_.resize(size); }
  /// How many threads it may have.
  std::size_t size() const noexcept { return core_.size(); }
  /// How many threads it has at this moment, idle ones included.
  std::size_t threads() const noexcept { return core_.threads(); }

  /// From now on only its own jobs may submit others. Never suspends.
  void close() noexcept { core_.close(); }
  /// Cancels the jobs that have not begun. Never suspends.
  void cancel_pending() noexcept { core_.cancel_pending(); }
  /// Closes it, and waits until all jobs are done and the threads have ended. Suspends. Throws cancelled,
  /// timed_out or what was raised; std::system_error (resource_deadlock_would_occur) in one of its own jobs.
  void shutdown() { core_.shutdown(); }

 private:
  template <class Range, class Iterator>
  static decltype(auto) item_of(Iterator& at) {
    if constexpr (std::is_lvalue_reference_v<Range> || std::ranges::view<std::remove_cvref_t<Range>>)
      return *at;
    else
      return std::ranges::iter_move(at);
  }

  detail::thread_pool_core core_;
};

}  // namespace coir

#pragma once

#include <cstring>
#include <deque>
#include <istream>
#include <iterator>
#include <optional>
#include <ostream>
#include <ranges>
#include <stdexcept>
#include <streambuf>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <cereal/archives/binary.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/vector.hpp>

#include "coir/detail/process_pool_core.hpp"
#include "coir/detail/time.hpp"
#include "coir/promise.hpp"
#include "coir/remote_error.hpp"
#include "coir/this_fiber.hpp"

namespace coir {

namespace detail {

class bytes_out final : public std::streambuf {
 public:
  explicit bytes_out(std::string& to) : to_(to) {}

 protected:
  std::streamsize xsputn(const char* from, std::streamsize n) override {
    to_.append(from, static_cast<std::size_t>(n));
    return n;
  }
  int_type overflow(int_type c) override {
    to_.push_back(traits_type::to_char_type(c));
    return c;
  }

 private:
  std::string& to_;
};

class bytes_in final : public std::streambuf {
 public:
  explicit bytes_in(std::string_view from) {
    char* begin = const_cast<char*>(from.data());  // only read
    setg(begin, begin, begin + from.size());
  }
};

template <class T>
void store(std::string& to, const T& value) {
  bytes_out buffer(to);
  std::ostream stream(&buffer);
  cereal::BinaryOutputArchive archive(stream);
  archive(value);
}

template <class T>
T load(std::string_view from) {
  bytes_in buffer(from);
  std::istream stream(&buffer);
  cereal::BinaryInputArchive archive(stream);
  T value;
  archive(value);
  return value;
}

// As what an argument crosses to another process: text as a string.
template <class T>
using sent =
    std::conditional_t<std::is_same_v<std::decay_t<T>, const char*> || std::is_same_v<std::decay_t<T>, char*>,
                       std::string, std::decay_t<T>>;

// What a worker, which runs the same code, can call: it knows the type, and for a pointer its value.
template <class F>
inline constexpr bool is_function_pointer =
    std::is_pointer_v<F>&& std::is_function_v<std::remove_pointer_t<F>>;
template <class F>
inline constexpr bool callable_elsewhere = is_function_pointer<F> ||
                                           (std::is_empty_v<F> && std::is_default_constructible_v<F>);

template <class F>
void store_callable(std::string& to, const F& f) {
  if constexpr (is_function_pointer<F>) to.append(reinterpret_cast<const char*>(&f), sizeof f);
}
template <class F>
F load_callable(std::string_view& from) {
  F f{};
  if constexpr (is_function_pointer<F>) {
    std::memcpy(&f, from.data(), sizeof f);
    from.remove_prefix(sizeof f);
  }
  return f;
}

template <class R, class Call>
void append_result(std::string& out, Call call) {
  if constexpr (std::is_void_v<R>)
    call();
  else
    store<R>(out, call());
}

// In the worker.
template <class F, class R, class Arguments>
void run_call(std::string_view in, std::string& out) {
  F f = load_callable<F>(in);
  auto arguments = load<Arguments>(in);
  append_result<R>(out, [&]() -> decltype(auto) { return std::apply(f, std::move(arguments)); });
}
// The same for each of several items: their outcomes.
template <class F, class R, class Item>
void run_chunk(std::string_view in, std::string& out) {
  F f = load_callable<F>(in);
  std::vector<std::string> outcomes;
  std::vector<Item> items = load<std::vector<Item>>(in);
  for (auto&& item : items) {  // of bool they are no references
    std::string one(1, outcome_value);
    try {
      append_result<R>(one, [&]() -> decltype(auto) { return f(Item(std::move(item))); });
    } catch (...) {
      one = encode_exception();
    }
    outcomes.push_back(std::move(one));
  }
  store(out, outcomes);
}

template <class R>
struct process_task final : promise_state<R>, process_job {
  bool begin() noexcept override { return this->try_claim(); }
  void end(std::string_view outcome) noexcept override {
    try {
      outcome = value_of(outcome);
      if constexpr (std::is_void_v<R>)
        this->emplace();
      else
        this->emplace(load<R>(outcome));
    } catch (...) {
      this->error = std::current_exception();
    }
    this->finish();
  }
  void fail(std::exception_ptr e) noexcept override {
    this->error = std::move(e);
    this->finish();
  }
  void call_off() noexcept override { this->cancel(); }
  void called_off() noexcept override { this->give_back(); }
};

}  // namespace detail

/// What process_pool::map returns: the results in the order of the items. An input range, to be gone through
/// once. `R` is std::monostate if the function returns nothing.
///
/// Lifetime: destroyed early, it calls off what has not begun.
template <class R>
class process_map {
  using chunk = future<std::vector<std::string>>;

 public:
  process_map(process_map&&) noexcept = default;
  process_map& operator=(process_map&&) = delete;
  ~process_map() {
    for (const auto& [outcomes, size] : chunks_) outcomes.cancel();
  }

  /// The next result; empty after the last. Suspends until it is there. Throws what that item's call threw,
  /// as the future of submit does, and the following call goes on with the next item; cancelled, timed_out or
  /// what was raised if the caller's wait is interrupted, and then nothing is lost.
  std::optional<R> next() {
    if (chunks_.empty()) return std::nullopt;
    const auto& [outcomes, size] = chunks_.front();
    outcomes.wait();
    const chunk held = outcomes;
    const std::size_t index = taken_;
    if (++taken_ == size) {
      chunks_.pop_front();
      taken_ = 0;
    }
    // The wait is over: an interrupt that comes after it is for the next one.
    const auto& texts = [&]() -> decltype(auto) {
      const this_fiber::shield during;
      return held.get();
    }();
    const std::string_view value = detail::value_of(texts[index]);
    if constexpr (std::is_same_v<R, std::monostate>)
      return R();
    else
      return detail::load<R>(value);
  }

  /// Steps by next.
  class iterator {
   public:
    using value_type = R;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;
    /// Internal.
    explicit iterator(process_map* of) : of_(of) { ++*this; }
    R& operator*() const { return *of_->current_; }
    iterator& operator++() {
      of_->current_.reset();
      of_->current_ = of_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return i.at_end(); }

   private:
    bool at_end() const noexcept { return !of_->current_; }

    process_map* of_;
  };
  /// Calls next; so does each step. Suspends, and throws as that does.
  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend class process_pool;
  process_map() = default;

  std::deque<std::pair<chunk, std::size_t>> chunks_;  // with their numbers of items
  std::size_t taken_ = 0;                             // of the first
  std::optional<R> current_;                          // of the iterator
};

/// Worker processes for computations, as ProcessPoolExecutor and multiprocessing.Pool have them. Only where
/// the library cereal is found.
///
/// Arguments and results are copied between the processes: whatever cereal can serialise (the types for which
/// `coir/process_pool.hpp` includes it, others with `cereal/types/…` or a `serialize` of their own) and has a
/// default constructor; text goes as std::string. The function is a function pointer, a lambda without
/// captures or another type without state, of code that was loaded when the pool was made.
///
/// What a call throws is thrown by its future: std::bad_alloc, std::system_error and the types of `stdexcept`
/// as themselves, all others as coir::remote_error. If its process ends (a signal, exit), that call ends with
/// coir::worker_crashed, and another process takes its place; calls that had not begun do not notice.
///
/// The constructor forks a server without threads, which forks the workers as they are needed. So a worker
/// knows the memory and the code as they were then, and has no descriptors but 0 (/dev/null), 1 and 2;
/// signals have their default actions, but for SIGINT, which it ignores. It dies with the pool's process.
/// Functions may use coir, fibers included, but not the pool. A pool that is made early, before threads and
/// secrets, is the cleanest. The server is a child of the program's:
/// its `waitpid(-1)` may see that end, and waits as long as the pool lives.
///
/// In the child of a fork a pool is of no use: all but its destructor throw std::logic_error.
///
/// Context: any thread, fiber or not; not in callbacks of its futures, which run on a thread of the pool's.
class process_pool {
 public:
  /// With at most `workers` processes. Suspends while the server is forked, whatever happens to the caller
  /// meanwhile. Throws std::invalid_argument if not at least 1, std::system_error if no process or thread
  /// can be made.
  explicit process_pool(std::ptrdiff_t workers) : core_(workers) {}
  process_pool(const process_pool&) = delete;
  process_pool& operator=(const process_pool&) = delete;
  /// shutdown and join, whatever happens to the caller meanwhile. Suspends. In the child of a fork nothing.
  ~process_pool() = default;

  /// Has `f(args...)` called by a worker. Calls begin in the order of submitting. future::cancel calls off
  /// one that has not begun; one that has begun is not interrupted.
  ///
  /// Never suspends. Throws std::logic_error after shutdown, std::invalid_argument if the code of `f` was
  /// loaded after the pool was made, what serialising throws.
  template <class F, class... Args>
  auto submit(F&& f, Args&&... args) {
    using function = std::decay_t<F>;
    using result = std::decay_t<std::invoke_result_t<function&, detail::sent<Args>...>>;
    using arguments = std::tuple<detail::sent<Args>...>;
    const function callee(std::forward<F>(f));
    auto task = prepare<result>(&detail::run_call<function, result, arguments>, callee);
    detail::store(task->input, arguments(std::forward<Args>(args)...));
    core_.submit(task);
    return future<result>(task);
  }

  /// Has `f(item)` called for each of `range`, `chunk` items to a message, which is quicker for short calls;
  /// results and exceptions come item by item all the same, but a worker's end is that of its whole chunk.
  /// All calls are submitted at once. Throws as submit; std::invalid_argument if `chunk` is not at least 1.
  template <std::ranges::input_range Range, class F>
  auto map(Range&& range, F&& f, std::ptrdiff_t chunk = 1) {
    using function = std::decay_t<F>;
    using item = detail::sent<std::ranges::range_reference_t<Range>>;
    using result = std::decay_t<std::invoke_result_t<function&, item>>;
    using kept = std::conditional_t<std::is_void_v<result>, std::monostate, result>;
    if (chunk < 1)
      throw std::invalid_argument("coir::process_pool::map: chunk=" + std::to_string(chunk) +
                                  ": expected at least 1");
    const function callee(std::forward<F>(f));
    process_map<kept> results;
    std::vector<item> items;
    const auto send = [&] {
      auto task = prepare<std::vector<std::string>>(&detail::run_chunk<function, result, item>, callee);
      detail::store(task->input, items);
      results.chunks_.emplace_back(task, items.size());
      core_.submit(task);
      items.clear();
    };
    for (auto&& one : range) {
      items.emplace_back(std::forward<decltype(one)>(one));
      if (items.size() == static_cast<std::size_t>(chunk)) send();
    }
    if (!items.empty()) send();
    return results;
  }

  /// Takes no more calls; those submitted are still made. Never suspends.
  void shutdown() { core_.shutdown(); }
  /// shutdown, and waits until all calls have ended and the processes are gone. Suspends.
  void join() { core_.join(detail::never_ns); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) {
    return core_.join(detail::deadline_after(detail::checked_duration("coir::process_pool::join_for", d)));
  }
  /// shutdown, and kills the workers: calls that run end with worker_crashed, those that had not begun with
  /// coir::cancelled. Never suspends.
  void terminate() { core_.terminate(); }
  /// How many workers it may have.
  std::size_t size() const noexcept { return core_.size(); }

 private:
  template <class R, class F>
  std::shared_ptr<detail::process_task<R>> prepare(detail::job_function run, const F& f) {
    static_assert(
        detail::callable_elsewhere<F>,
        "coir::process_pool: the function must be a function pointer or have no state (no captures)");
    core_.check_code("the caller", reinterpret_cast<const void*>(run));
    if constexpr (detail::is_function_pointer<F>) core_.check_code("f", reinterpret_cast<const void*>(f));
    auto task = std::make_shared<detail::process_task<R>>();
    task->function = run;
    detail::store_callable(task->input, f);
    return task;
  }

  detail::process_pool_core core_;
};

}  // namespace coir

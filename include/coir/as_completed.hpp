#pragma once

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <unordered_set>
#include <utility>
#include <vector>

#include "coir/detail/completion.hpp"
#include "coir/detail/result_iterator.hpp"
#include "coir/detail/time.hpp"

namespace coir {

/// What as_completed returns: the handles of a set, in the order of ending. An input range, to be gone
/// through once. `Handle` is a fiber<T> or a future<T>.
///
/// Lifetime: left early, it takes back what it had attached to those that have not ended; they run on.
/// Context: one thread; what it waits for may belong to others.
template <class Handle>
class completions {
 public:
  using value_type = Handle;
  using iterator = detail::result_iterator<completions, Handle>;

  completions(completions&& other) noexcept = default;
  completions& operator=(completions&& other) noexcept = default;

  /// The next handle whose fiber or promise has ended, in whatever way; empty once all were named. Suspends.
  /// Throws cancelled, timed_out or what was raised; the following call goes on where this one was.
  std::optional<Handle> next() { return next_until_ns(detail::never_ns); }
  /// The same for at most `d`; empty, too, if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  std::optional<Handle> next_for(std::chrono::duration<Rep, Period> d) {
    const std::int64_t ns = detail::checked_duration("coir::completions::next_for", d);
    return next_until_ns(detail::deadline_after(ns));
  }
  /// How many have not been named by next.
  std::size_t size() const noexcept { return state_->left; }
  bool empty() const noexcept { return size() == 0; }

  /// Calls next; so does each step. Suspends.
  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// Internal: what as_completed does.
  explicit completions(std::vector<Handle> handles) : state_(std::make_unique<state>(std::move(handles))) {
    for (const Handle& h : state_->handles) state_->order.add(h);
  }

 private:
  friend iterator;

  struct state {
    std::vector<Handle> handles;
    detail::completion order;
    std::size_t left;

    explicit state(std::vector<Handle> h)
        : handles(std::move(h)), order(handles.size()), left(handles.size()) {}
  };

  std::optional<Handle> next_until_ns(std::int64_t deadline_ns) {
    const std::optional<std::size_t> i = state_->order.next(deadline_ns);
    if (!i) return std::nullopt;
    --state_->left;
    return state_->handles[*i];
  }

  std::unique_ptr<state> state_;
  std::optional<Handle> current;  // of the iterator
};

/// The handles of `handles` (a range of fiber<T> or of future<T>) one by one as they end: those that have
/// ended already first, in the order of the range; each once, if it repeats.
///
///     for (const auto& f : coir::as_completed(fibers)) use(f.get());
///
/// Suspends: not by itself; see completions::next. Throws std::bad_alloc; std::logic_error if a handle
/// belongs to nothing.
template <std::ranges::input_range Range>
auto as_completed(const Range& handles) {
  using handle = std::ranges::range_value_t<Range>;
  std::unordered_set<const void*> seen;
  std::vector<handle> distinct;
  for (const handle& h : handles)
    if (seen.insert(detail::identity(h)).second) distinct.push_back(h);
  return completions<handle>(std::move(distinct));
}

}  // namespace coir

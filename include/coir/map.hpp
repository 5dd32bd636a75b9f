#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <variant>

#include "coir/detail/map_core.hpp"
#include "coir/detail/result_iterator.hpp"

namespace coir {

namespace detail {

// How an item is kept until its call: a place in the range where that stays good, else the value.
template <class Range>
inline constexpr bool keeps_places = std::ranges::forward_range<Range>;

template <class Range>
using kept_item = std::conditional_t<keeps_places<Range>, std::ranges::iterator_t<Range>,
                                     std::ranges::range_value_t<Range>>;

template <class Range, class F>
decltype(auto) call_with(F& f, kept_item<Range>& item) {
  if constexpr (keeps_places<Range>)
    return std::invoke(f, *item);
  else
    return std::invoke(f, std::move(item));
}

template <class Range, class F>
using returned = decltype(call_with<Range>(std::declval<F&>(), std::declval<kept_item<Range>&>()));

template <class Range, class F>
using mapped = std::conditional_t<std::is_void_v<returned<Range, F>>, std::monostate,
                                  std::remove_cvref_t<returned<Range, F>>>;

// `Range` is an lvalue reference to a range that stays, or the type of one that is kept here.
template <class Range, class F>
class map_state final : public map_core {
  using range = std::remove_reference_t<Range>;
  using result = mapped<range, F>;

 public:
  template <class R, class G, class... How>
  map_state(R&& input, G&& f, How&&... how)
      : map_core(std::forward<How>(how)...), input_(std::forward<R>(input)), f_(std::forward<G>(f)) {}
  ~map_state() override { stop(); }

  std::optional<result> next() {
    slot* s = static_cast<slot*>(next_slot());
    if (s == nullptr) return std::nullopt;
    struct recycler {
      map_state& state;
      slot* s;
      ~recycler() {
        s->value.reset();
        state.recycle(s);
      }
    } const back{*this, s};
    if (__builtin_expect(s->error != nullptr, 0)) std::rethrow_exception(s->error);
    return std::move(s->value);
  }

 private:
  struct slot : map_slot {
    std::optional<kept_item<range>> item;
    std::optional<result> value;
  };

  map_slot* make_slot() override { return &slots_.emplace_back(); }

  bool read(map_slot& s) override {
    if (at_)
      ++*at_;
    else
      at_.emplace(std::ranges::begin(input_));
    if (*at_ == std::ranges::end(input_)) return false;
    if constexpr (keeps_places<range>)
      static_cast<slot&>(s).item.emplace(*at_);
    else
      static_cast<slot&>(s).item.emplace(**at_);
    return true;
  }

  void run(map_slot& base) override {
    slot& s = static_cast<slot&>(base);
    struct dropper {
      std::optional<kept_item<range>>& item;
      ~dropper() { item.reset(); }
    } const drop{s.item};
    if constexpr (std::is_void_v<returned<range, F>>) {
      call_with<range>(f_, *s.item);
      s.value.emplace();
    } else {
      s.value.emplace(call_with<range>(f_, *s.item));
    }
  }

  Range input_;
  F f_;
  std::optional<std::ranges::iterator_t<range>> at_;
  std::deque<slot> slots_;
};

}  // namespace detail

/// What map and map_unordered return: the results of calls that are made, many at once, as they are asked
/// for. An input range, to be gone through once. `Result` is std::monostate if the function returns nothing.
///
/// Lifetime: destroyed early, it cancels the calls that run, waits for their ends (whatever happens to the
/// caller meanwhile), and drops the results nobody took. Context: one thread.
template <class Result, class State>
class mapping {
 public:
  using value_type = Result;
  using iterator = detail::result_iterator<mapping, Result>;

  mapping(mapping&& other) noexcept = default;
  mapping& operator=(mapping&& other) noexcept = default;

  /// The next result; empty after the last. Suspends until it is there.
  /// Throws what that item's call threw, and the following call goes on with the next item; what reading the
  /// input threw, after which there are no more items; cancelled, timed_out or what was raised if the
  /// caller's wait is interrupted, and then nothing is lost; std::bad_alloc, and as coir::spawn if no fiber
  /// can be made.
  std::optional<Result> next() { return state_->next(); }

  /// Calls next; so does each step. Suspends, and throws as that does.
  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// Internal.
  explicit mapping(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}

 private:
  friend iterator;

  std::unique_ptr<State> state_;
  std::optional<Result> current;  // of the iterator
};

namespace detail {

template <class Range, class F, class... How>
auto make_mapping(Range&& input, F&& f, How&&... how) {
  using state = map_state<Range, std::decay_t<F>>;
  using result = mapped<std::remove_reference_t<Range>, std::decay_t<F>>;
  return mapping<result, state>(
      std::make_unique<state>(std::forward<Range>(input), std::forward<F>(f), std::forward<How>(how)...));
}

}  // namespace detail

/// Calls `f(item)` for the items of `range`, at most `limit` at once, each in a fiber, and gives the results
/// in the order of the items.
///
///     for (const page& p : coir::map(addresses, fetch, 10)) show(p);
///
/// Nothing begins before the first result is asked for. From then on calls are begun as fast as `limit`
/// allows, but no more than 2 * `limit` items are read ahead of the result taken last, so a slow consumer
/// slows the calls down, and the input may be endless. The input may be any input range: a vector, a view, a
/// generator, one that waits for its items. Of those that can be gone through once only (no
/// std::ranges::forward_range) items are moved into the calls; others are passed as they stand.
///
/// `f`: copied, and called by several fibers in turn. `limit`: at least 1; std::invalid_argument if not.
/// Lifetime: a range that is an lvalue is referred to, and outlives what is returned; others are moved into
/// it. Suspends: no; see mapping::next.
template <std::ranges::input_range Range, class F>
auto map(Range&& range, F&& f, std::ptrdiff_t limit) {
  return detail::make_mapping<Range>(std::forward<Range>(range), std::forward<F>(f), "coir::map", limit,
                                     true);
}

/// The same, but gives each result as soon as it is there, and reads no more than `limit` items ahead of the
/// result taken last.
template <std::ranges::input_range Range, class F>
auto map_unordered(Range&& range, F&& f, std::ptrdiff_t limit) {
  return detail::make_mapping<Range>(std::forward<Range>(range), std::forward<F>(f), "coir::map_unordered",
                                     limit, false);
}

}  // namespace coir

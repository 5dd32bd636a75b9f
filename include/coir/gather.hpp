#pragma once

#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "coir/fiber.hpp"

namespace coir {

namespace detail {

// The order in which a set of fibers ends. Internal.
class completion {
 public:
  completion();
  ~completion();
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  void add(fiber_base* f, std::size_t index);
  // The index of the next one that has ended; empty at the deadline. Suspends.
  std::optional<std::size_t> next(std::int64_t deadline_ns);

 private:
  struct state;
  state* state_;
};

template <class Range>
std::vector<std::ranges::range_value_t<Range>> wait_until_ns(const Range& fibers, std::size_t count,
                                                             std::int64_t at) {
  using handle = std::ranges::range_value_t<Range>;
  completion order;
  std::vector<handle> all;
  for (const handle& f : fibers) {
    all.push_back(f);
    f.ready();  // throws if it belongs to no fiber
  }
  for (std::size_t i = 0; i < all.size(); ++i) order.add(all[i].base(), i);
  std::vector<handle> ended;
  while (ended.size() < count && ended.size() < all.size()) {
    const std::optional<std::size_t> i = order.next(at);
    if (!i) break;
    ended.push_back(all[*i]);
  }
  return ended;
}

template <class T>
auto result_or_nothing(const fiber<T>& f) {
  if constexpr (std::is_void_v<T>) {
    f.get();
    return std::tuple<>();
  } else {
    return std::tuple<T>(f.get());
  }
}

}  // namespace detail

/// Waits until `count` fibers of `fibers` (a range of fiber<T>; 1 by default) have ended, and returns their
/// handles in the order of ending; all of them if there are fewer. Suspends. Throws cancelled, timed_out or
/// what was raised; std::logic_error if a handle belongs to no fiber.
template <std::ranges::input_range Range>
auto wait_any(const Range& fibers, std::size_t count = 1) {
  return detail::wait_until_ns(fibers, count, detail::never_ns);
}

/// The same for at most `d`: those that ended in time. std::invalid_argument if `d` is negative.
template <std::ranges::input_range Range, class Rep, class Period>
auto wait_any_for(const Range& fibers, std::chrono::duration<Rep, Period> d, std::size_t count = 1) {
  return detail::wait_until_ns(fibers, count,
                               detail::deadline_after(detail::checked_duration("coir::wait_any_for", d)));
}

/// Waits until all fibers of a range have ended, in whatever way. Suspends. Throws as wait_any.
template <std::ranges::input_range Range>
void wait_all(const Range& fibers) {
  for (const auto& f : fibers) f.join();
}
/// The same for the given fibers.
template <class... T>
void wait_all(const fiber<T>&... fibers) {
  (fibers.join(), ...);
}
/// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
template <std::ranges::input_range Range, class Rep, class Period>
bool wait_all_for(const Range& fibers, std::chrono::duration<Rep, Period> d) {
  const std::int64_t at = detail::deadline_after(detail::checked_duration("coir::wait_all_for", d));
  for (const auto& f : fibers) {
    f.ready();  // throws if it belongs to no fiber
    if (!detail::join_fiber_until(f.base(), at)) return false;
  }
  return true;
}

/// Waits for all fibers of a range and returns their results in the order of the range (nothing for
/// fiber<void>).
///
/// If one ends by an exception, that is rethrown at once, the first in time if several do; the others run on.
/// Suspends. Throws also as wait_any.
template <std::ranges::input_range Range>
auto gather(const Range& fibers) {
  using result = typename std::ranges::range_value_t<Range>::result_type;
  detail::completion order;
  std::vector<std::ranges::range_value_t<Range>> all(std::ranges::begin(fibers), std::ranges::end(fibers));
  for (const auto& f : all) f.ready();
  for (std::size_t i = 0; i < all.size(); ++i) order.add(all[i].base(), i);
  for (std::size_t i = 0; i < all.size(); ++i) all[*order.next(detail::never_ns)].get();
  if constexpr (!std::is_void_v<result>) {
    std::vector<std::remove_cvref_t<result>> results;
    results.reserve(all.size());
    for (const auto& f : all) results.push_back(f.get());
    return results;
  }
}

/// The same for the given fibers; returns a tuple of the results, without the void ones.
template <class... T>
auto gather(const fiber<T>&... fibers) {
  detail::completion order;
  const std::size_t count = sizeof...(T);
  std::size_t index = 0;
  (static_cast<void>(fibers.ready()), ...);
  (order.add(fibers.base(), index++), ...);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t ended = *order.next(detail::never_ns);
    std::size_t at = 0;
    ((at++ == ended ? static_cast<void>(fibers.get()) : static_cast<void>(0)), ...);
  }
  return std::tuple_cat(detail::result_or_nothing(fibers)...);
}

}  // namespace coir

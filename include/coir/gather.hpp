#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "coir/detail/completion.hpp"
#include "coir/detail/time.hpp"

namespace coir {

namespace detail {

template <class Handle>
using result_of_handle = decltype(std::declval<const Handle&>().get());

// The handles of a range; throws if one belongs to nothing.
template <class Range>
std::vector<std::ranges::range_value_t<Range>> checked_handles(const Range& handles) {
  std::vector<std::ranges::range_value_t<Range>> all;
  for (const auto& h : handles) {
    identity(h);
    all.push_back(h);
  }
  return all;
}

template <class Range>
std::vector<std::ranges::range_value_t<Range>> wait_until_ns(const Range& handles, std::size_t count,
                                                             std::int64_t at) {
  const auto all = checked_handles(handles);
  std::vector<std::ranges::range_value_t<Range>> ended;
  completion order(all.size());
  for (const auto& h : all) order.add(h);
  while (ended.size() < count && ended.size() < all.size()) {
    const std::optional<std::size_t> i = order.next(at);
    if (!i) break;
    ended.push_back(all[*i]);
  }
  return ended;
}

// A copy of its result; what cannot be copied is moved out.
template <class Handle>
auto result_taken_from(const Handle& h) {
  using result = std::remove_cvref_t<result_of_handle<Handle>>;
  if constexpr (std::is_copy_constructible_v<result>)
    return result(h.get());
  else
    return result(std::move(h.get()));
}

template <class Handle>
auto result_or_nothing(const Handle& h) {
  if constexpr (std::is_void_v<result_of_handle<Handle>>) {
    h.get();
    return std::tuple<>();
  } else {
    if constexpr (std::is_reference_v<typename Handle::result_type>)
      return std::tuple<typename Handle::result_type>(h.get());
    else
      return std::tuple<typename Handle::result_type>(result_taken_from(h));
  }
}

template <class T>
inline constexpr bool is_handle = false;
template <class T>
inline constexpr bool is_handle<fiber<T>> = true;
template <class T>
inline constexpr bool is_handle<future<T>> = true;
template <class... T>
concept handles = (is_handle<T> && ...);

}  // namespace detail

/// Waits until `count` of `handles` (a range of fiber<T> or of future<T>; 1 by default) have ended, and
/// returns their handles in the order of ending; all of them if there are fewer. Suspends. Throws cancelled,
/// timed_out or what was raised; std::logic_error if a handle belongs to nothing.
template <std::ranges::input_range Range>
auto wait_any(const Range& handles, std::size_t count = 1) {
  return detail::wait_until_ns(handles, count, detail::never_ns);
}

/// The same for at most `d`: those that ended in time. std::invalid_argument if `d` is negative.
template <std::ranges::input_range Range, class Rep, class Period>
auto wait_any_for(const Range& handles, std::chrono::duration<Rep, Period> d, std::size_t count = 1) {
  return detail::wait_until_ns(handles, count,
                               detail::deadline_after(detail::checked_duration("coir::wait_any_for", d)));
}

/// Waits until all handles of a range have ended, in whatever way. Suspends. Throws as wait_any.
template <std::ranges::input_range Range>
void wait_all(const Range& handles) {
  for (const auto& h : handles) detail::wait_for_end(h);
}
/// The same for the given handles.
template <class... Handle>
requires detail::handles<Handle...>
void wait_all(const Handle&... handles) {
  (detail::wait_for_end(handles), ...);
}
/// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
template <std::ranges::input_range Range, class Rep, class Period>
bool wait_all_for(const Range& handles, std::chrono::duration<Rep, Period> d) {
  const std::int64_t at = detail::deadline_after(detail::checked_duration("coir::wait_all_for", d));
  for (const auto& h : handles) {
    detail::identity(h);
    if (!detail::wait_for_end(h, at)) return false;
  }
  return true;
}

/// Cancels all handles of a range. Does not wait for their ends, and never suspends. std::logic_error if one
/// belongs to nothing; those before it have been cancelled then.
template <std::ranges::input_range Range>
void cancel_all(const Range& handles) {
  for (const auto& h : handles) h.cancel();
}
/// Cancels all handles of a range and waits at most `d` until they have ended, cleaning up included; whether
/// they have. Suspends. Throws as wait_any (all have been cancelled then), and std::invalid_argument if `d`
/// is negative.
template <std::ranges::input_range Range, class Rep, class Period>
bool cancel_all_for(const Range& handles, std::chrono::duration<Rep, Period> d) {
  detail::checked_duration("coir::cancel_all_for", d);
  cancel_all(handles);
  return wait_all_for(handles, d);
}

/// Waits for all handles of a range and returns their results in the order of the range (nothing for void):
/// copies, or, of a type that cannot be copied, the results themselves, moved out of the handles.
///
/// If one ends by an exception, that is rethrown at once, the first in time if several do; the others run on.
/// Suspends. Throws also as wait_any.
template <std::ranges::input_range Range>
auto gather(const Range& handles) {
  using result = detail::result_of_handle<std::ranges::range_value_t<Range>>;
  const auto all = detail::checked_handles(handles);
  {
    detail::completion order(all.size());
    for (const auto& h : all) order.add(h);
    for (std::size_t i = 0; i < all.size(); ++i) all[*order.next(detail::never_ns)].get();
  }
  if constexpr (!std::is_void_v<result>) {
    std::vector<std::remove_cvref_t<result>> results;
    results.reserve(all.size());
    for (const auto& h : all) results.push_back(detail::result_taken_from(h));
    return results;
  }
}

/// The same for the given handles; returns a tuple of the results, without the void ones.
template <class... Handle>
requires detail::handles<Handle...>
auto gather(const Handle&... handles) {
  const std::size_t count = sizeof...(Handle);
  {
    detail::completion order(count);
    (static_cast<void>(detail::identity(handles)), ...);
    (order.add(handles), ...);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t ended = *order.next(detail::never_ns);
      std::size_t at = 0;
      ((at++ == ended ? static_cast<void>(handles.get()) : static_cast<void>(0)), ...);
    }
  }
  return std::tuple_cat(detail::result_or_nothing(handles)...);
}

}  // namespace coir

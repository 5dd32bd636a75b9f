#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include "coir/detail/offload_job.hpp"
#include "coir/fiber.hpp"

namespace coir {

/// Calls `f(args...)` on a helper thread while only the calling fiber waits, and returns its result: for code
/// that computes for long, or blocks where no patch can help.
///
/// There are at most 64 helpers, started as needed; further calls wait for one. They run outside of any
/// fiber, with all signals blocked and their libc calls not patched, and see the caller's inherited values.
/// `f` may use what the caller's frame holds: the caller is not let go before `f` has returned. So
/// cancellation and timeouts do not end it early; they are thrown when it is over, unless `f` has thrown
/// itself. On a thread that never used coir, and on helpers themselves, `f` is called right there. Suspends.
/// Throws what `f` throws; cancelled, timed_out or what was raised (without calling `f`, if that was pending
/// before); std::system_error if no thread can be started; what copying throws.
template <class F, class... Args>
auto offload(F&& f, Args&&... args) -> detail::result_of<F, Args...> {
  using result = detail::result_of<F, Args...>;
  using call = detail::call_of<F, Args...>;
  const auto bind = [&] {
    if constexpr (sizeof...(Args) == 0)
      return call{std::forward<F>(f)};
    else
      return call{std::forward<F>(f), {std::forward<Args>(args)...}};
  };
  detail::offloaded_call<result, call> job(bind());
  detail::offload(job);
  if (job.error != nullptr) std::rethrow_exception(std::move(job.error));
  detail::throw_if_interrupted();
  if constexpr (std::is_reference_v<result>)
    return static_cast<result>(**job.value);
  else if constexpr (!std::is_void_v<result>)
    return std::move(*job.value);
}

}  // namespace coir

#pragma once

#include <type_traits>
#include <utility>

#include "coir/fiber.hpp"

namespace coir {

namespace detail {
void check_run_context();  // throws unless on a thread's main fiber
// Until no fiber of this thread is left but the calling one. Interrupted before that it cancels `first`,
// waits for its end, and throws.
void run_to_end(fiber_base* first);
}  // namespace detail

/// Runs `f` as a fiber and waits until it and every fiber of this thread has ended; returns what `f`
/// returned.
///
/// Only for those who want to wait for everything; nothing needs it. Suspends. Context: a thread's main
/// fiber; std::logic_error elsewhere. Throws what left `f`, after the others have ended too; cancelled,
/// timed_out or what was raised if the wait is interrupted: then `f` is cancelled and has ended, and the
/// others run on.
template <class F>
auto run(F&& f) {
  detail::check_run_context();
  auto first = spawn(std::forward<F>(f));
  detail::run_to_end(first.base());
  return std::move(first).get();
}

}  // namespace coir

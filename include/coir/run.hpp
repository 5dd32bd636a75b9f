#pragma once

#include <type_traits>
#include <utility>

#include "coir/fiber.hpp"

namespace coir {

namespace detail {
void check_run_context();    // throws unless on a thread's main fiber
void wait_for_all_fibers();  // of this thread, but the calling one
}  // namespace detail

/// Runs `f` as a fiber and waits until it and every fiber of this thread has ended; returns what `f`
/// returned.
///
/// Only for those who want to wait for everything; nothing needs it. Suspends. Context: a thread's main
/// fiber; std::logic_error elsewhere. Throws what left `f`, after the others have ended too.
template <class F>
auto run(F&& f) {
  detail::check_run_context();
  auto first = spawn(std::forward<F>(f));
  detail::wait_for_all_fibers();
  return std::move(first).get();
}

}  // namespace coir

// What a mutex does for those that hold it inside a call of theirs: condition_variable, recursive_mutex.
#pragma once

#include "coir/mutex.hpp"
#include "sync/holder.hpp"

namespace coir {

// The holder, if that is the caller. Throws std::system_error (operation_not_permitted) if not.
inline std::uintptr_t mutex::expect_caller(const char* what) const {
  const std::uintptr_t seen = state_.load(std::memory_order_relaxed);
  if (__builtin_expect(sync::is_plainly_caller(seen), 1)) return seen;
  return sync::expect_caller(what, seen & ~std::uintptr_t{detail::wanted});
}

inline void mutex::unlock_again(std::uintptr_t holder) noexcept {
  if (!detail::single_threaded()) return unlock_known(holder);
  if (state_.load(std::memory_order_relaxed) == holder)
    state_.store(detail::nobody, std::memory_order_relaxed);
  else
    leave(holder);
}

inline void mutex::lock_again(std::uintptr_t holder) noexcept {
  if (detail::single_threaded()) {
    if (state_.load(std::memory_order_relaxed) == detail::nobody)
      return state_.store(holder, std::memory_order_relaxed);
  } else if (try_fast()) {
    return;
  }
  wait_for_lock(detail::never_ns, false);
}

}  // namespace coir

// Who holds a lock: the detail::lock_word of it, without `wanted`.
#pragma once

#include <cstdint>

#include "coir/detail/lock_word.hpp"

namespace coir::sync {

// Whether the holder is the caller, also if its thread has got a scheduler or a guest since it took the lock.
bool is_caller(std::uintptr_t holder) noexcept;

// The most frequent case of that, for any lock_word: a position near by.
inline bool is_plainly_caller(std::uintptr_t word) noexcept {
  constexpr std::uintptr_t near = 64 * 1024;  // less than any guard, so within it there is one stack only
  const auto here = reinterpret_cast<std::uintptr_t>(detail::stack_pointer());
  return word - here + near < 2 * near && (word & (detail::wanted | detail::by_record)) == 0;
}

// Throws std::system_error (operation_not_permitted): `what` was called by whom it does not belong to.
[[noreturn]] void refuse_unlock(const char* what, std::uintptr_t holder);

// `holder`, if that is the caller; throws as refuse_unlock if not.
std::uintptr_t expect_caller(const char* what, std::uintptr_t holder);

}  // namespace coir::sync

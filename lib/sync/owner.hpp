// Who holds a lock, by detail::owner_mark or, where it was handed over, by the record of whom it was given.
#pragma once

#include <cstdint>

#include "coir/detail/fiber_base.hpp"

namespace coir::sync {

// Whether the owner is the caller, also if its thread has got a scheduler or a guest since it took the lock.
bool is_caller(std::uintptr_t owner) noexcept;

// Throws std::system_error (operation_not_permitted): `what` was called by whom it does not belong to.
// `owner`: 0: nobody's.
[[noreturn]] void refuse_unlock(const char* what, std::uintptr_t owner);

inline void expect_caller(const char* what, std::uintptr_t owner) {
  if (owner != detail::owner_mark() && !is_caller(owner)) refuse_unlock(what, owner);
}

}  // namespace coir::sync

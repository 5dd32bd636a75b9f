// The kinds of patched calls, as COIR_PATCH names them and lib/posix/names.def assigns them.
#pragma once

#include "coir/detail/fiber_base.hpp"

// COIR_CATEGORY(name, bit)
#define COIR_CATEGORIES(COIR_CATEGORY) \
  COIR_CATEGORY(io, 0)                 \
  COIR_CATEGORY(time, 1)               \
  COIR_CATEGORY(descriptors, 2)        \
  COIR_CATEGORY(threads, 3)            \
  COIR_CATEGORY(names, 4)              \
  COIR_CATEGORY(processes, 5)          \
  COIR_CATEGORY(files, 6)              \
  COIR_CATEGORY(ipc, 7)                \
  COIR_CATEGORY(stdio, 8)              \
  COIR_CATEGORY(signals, 9)

namespace coir::sys {

enum class category : std::uint32_t {
#define COIR_ONE(name, bit) name = 1U << (bit),
  COIR_CATEGORIES(COIR_ONE)
#undef COIR_ONE
};

inline constexpr std::uint32_t all_categories = 0
#define COIR_ONE(name, bit) | 1U << (bit)
    COIR_CATEGORIES(COIR_ONE)
#undef COIR_ONE
    ;

// Whether a call of that kind, made now, goes the cooperative way. If so the caller is still on its stack: a
// frame that stepped over the guard ends the process before its call writes anything. (Locks write nothing
// before they park, where that is looked at as well.)
[[gnu::always_inline]] inline bool cooperative(category c) noexcept {
  if (__builtin_expect(detail::cooperative == 0, 1) ||
      __builtin_expect((detail::patch_off & static_cast<std::uint32_t>(c)) != 0, 0))
    return false;
  if (c != category::threads) detail::check_own_stack();
  return true;
}

}  // namespace coir::sys

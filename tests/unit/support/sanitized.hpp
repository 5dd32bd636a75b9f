// Which sanitizer this build has: COIR_ASAN, COIR_TSAN, and UNIT_SANITIZED for either.
#pragma once

#include "coir/detail/threads.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define COIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COIR_ASAN 1
#endif
#endif

#if defined(COIR_ASAN) || defined(COIR_TSAN)
#define UNIT_SANITIZED 1
#endif

namespace unit {

// `wanted`, or fewer: TSan knows 8,128 threads at most, and takes fibers for such.
constexpr int fibers_at_once(int wanted) noexcept {
#ifdef COIR_TSAN
  return wanted < 2'000 ? wanted : 2'000;
#else
  return wanted;
#endif
}

}  // namespace unit

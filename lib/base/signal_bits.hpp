// Sets of signals as the kernel has them: a word with a bit for each.
#pragma once

#include <signal.h>

#include <cstdint>

namespace coir::base {

// `signal`: 1 to 64.
constexpr std::uint64_t bit(int signal) noexcept {
  return std::uint64_t{1} << (signal - 1);
}

// What tells of an error in the running code, for the thread that made it, unless somebody sent it.
constexpr std::uint64_t error_signals =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS);

}  // namespace coir::base

// The COIR_* environment variables, read once and checked.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coir::sys {

// What a fiber's stack may have, in bytes.
inline constexpr std::size_t smallest_stack_size = 16 * 1024;
inline constexpr std::size_t largest_stack_size = std::size_t{64} << 30;

enum class reactor_choice { automatic, epoll, uring };

struct settings {
  reactor_choice reactor = reactor_choice::automatic;  // COIR_REACTOR=epoll|uring
  std::uint32_t patch_off = 0;                         // COIR_PATCH: the categories that are not patched
  bool patch_always = false;                           // COIR_PATCH_ALWAYS=1
  bool audit = false;                                  // COIR_AUDIT=1
  std::size_t stack_size = 0;                          // COIR_STACK_SIZE=BYTES; 0: coir's own default
};

// The settings of this process.
// Throws std::invalid_argument naming the variable, its value and what was expected; on every call, until the
// environment is right.
const settings& read_settings();

}  // namespace coir::sys

#pragma once

#include <cstddef>

namespace coir {

/// How a fiber is made: `coir::spawn(coir::attributes{.name = "fetch", .stack_size = 64 * 1024}, f)`.
struct attributes {
  /// Shown in dumps, error texts and by `this_fiber::name`; copied. Null: the fiber is called "fiber".
  const char* name = nullptr;
  /// Bytes of usable stack, 16 KiB to 64 GiB, rounded up to whole pages; 0: the default, see
  /// `set_default_stack_size`. It is reserved, and committed only as it is used. Outside that range `spawn`
  /// throws std::invalid_argument.
  std::size_t stack_size = 0;
};

/// Gives fibers that are spawned from now on, on any thread, `bytes` of usable stack if they ask for no size
/// of their own: 16 KiB to 64 GiB, rounded up to whole pages. It is reserved, and committed only as it is
/// used. Until it is called they have 256 KiB, or what the environment variable COIR_STACK_SIZE says; it
/// counts more than that. Fibers that exist keep what they have.
///
/// Throws std::invalid_argument, naming the value, outside that range. Suspends: no. Context: any thread,
/// before fibers are used or after; not in signal handlers.
void set_default_stack_size(std::size_t bytes);

/// What fibers get that ask for no size of their own, in bytes.
///
/// Throws std::invalid_argument for a wrong COIR_* variable. Suspends: no. Context: as
/// set_default_stack_size.
std::size_t default_stack_size();

}  // namespace coir

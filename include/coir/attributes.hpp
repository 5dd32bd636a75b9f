#pragma once

#include <cstddef>

namespace coir {

/// How a fiber is made: `coir::spawn(coir::attributes{.name = "fetch", .stack_size = 64 * 1024}, f)`.
struct attributes {
  /// Shown in dumps, error texts and by `this_fiber::name`; copied. Null: the fiber is called "fiber".
  const char* name = nullptr;
  /// Bytes of usable stack, 16 KiB to 64 GiB, rounded up to whole pages. It is reserved, and committed only
  /// as it is used. Outside that range `spawn` throws std::invalid_argument.
  std::size_t stack_size = 256 * 1024;
};

}  // namespace coir

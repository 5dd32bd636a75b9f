// The kernel's pending signals of this thread.
#pragma once

#include <cstdint>

namespace coir::sys {

// Those sent to this thread alone, of all that are pending. Only /proc tells them from the process's: where
// it cannot be read, any may be.
std::uint64_t pending_for_thread() noexcept;

}  // namespace coir::sys

// What the running kernel offers, probed once and never assumed from its version.
#pragma once

#include <cstddef>

namespace coir::sys {

std::size_t page_size() noexcept;

// Makes [start, start + size) fault on access: MADV_GUARD_INSTALL where the kernel has it (>= 6.13: it adds
// no mapping), else mprotect(PROT_NONE). Returns 0 or an errno. `start` and `size` are whole pages.
int install_guard(void* start, std::size_t size) noexcept;

// Whether install_guard works without adding mappings.
bool has_light_guards() noexcept;

// For tests: makes install_guard use mprotect as on an older kernel.
void forbid_light_guards(bool forbidden) noexcept;

}  // namespace coir::sys

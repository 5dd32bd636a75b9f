// Memory that is no heap, and holds pointers into it. A program built with AddressSanitizer or LeakSanitizer
// looks for them at its end, and must be told where; see <sanitizer/lsan_interface.h>.
#pragma once

#include <cstddef>

extern "C" __attribute__((weak)) void __lsan_register_root_region(const void* start, std::size_t size);
extern "C" __attribute__((weak)) void __lsan_unregister_root_region(const void* start, std::size_t size);

namespace coir::base {

inline void add_root(const void* start, std::size_t size) noexcept {
  if (__lsan_register_root_region != nullptr) __lsan_register_root_region(start, size);
}
inline void remove_root(const void* start, std::size_t size) noexcept {
  if (__lsan_unregister_root_region != nullptr) __lsan_unregister_root_region(start, size);
}

}  // namespace coir::base

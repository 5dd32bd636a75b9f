#include "sys/pending.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sys/raw.hpp"

namespace coir::sys {

std::uint64_t pending_for_thread() noexcept {
  constexpr std::uint64_t unknown = ~std::uint64_t{0};
  char text[4096];
  const long fd = raw(SYS_openat, AT_FDCWD, word("/proc/thread-self/status"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return unknown;
  const long size = raw(SYS_read, fd, word(text), sizeof text - 1);
  raw(SYS_close, fd);
  text[std::max(size, 0L)] = '\0';
  const char* found = std::strstr(text, "\nSigPnd:\t");
  return found != nullptr ? std::strtoull(found + 9, nullptr, 16) : unknown;
}

}  // namespace coir::sys

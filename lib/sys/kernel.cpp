#include "sys/kernel.hpp"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "sys/raw.hpp"

namespace coir::sys {
namespace {

constexpr int madv_guard_install = 102;  // linux/mman.h of 6.13; Debian 12's headers do not name it yet

enum guard_kind : int { unknown, light, heavy };
std::atomic<int> guards{unknown};

}  // namespace

std::size_t page_size() noexcept {
  static std::atomic<std::size_t> known{0};
  std::size_t size = known.load(std::memory_order_relaxed);
  if (size == 0) {
    size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    known.store(size, std::memory_order_relaxed);
  }
  return size;
}

int install_guard(void* start, std::size_t size) noexcept {
  if (guards.load(std::memory_order_relaxed) != heavy) {
    const long r = raw(SYS_madvise, word(start), static_cast<long>(size), madv_guard_install);
    if (r == 0) {
      guards.store(light, std::memory_order_relaxed);
      return 0;
    }
    // EINVAL: an old kernel, or memory that is locked (mlockall). Only the first is known for good.
    if (guards.load(std::memory_order_relaxed) == unknown) guards.store(heavy, std::memory_order_relaxed);
  }
  return static_cast<int>(-raw(SYS_mprotect, word(start), static_cast<long>(size), PROT_NONE));
}

bool has_light_guards() noexcept {
  if (guards.load(std::memory_order_relaxed) == unknown) {
    void* page = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
      install_guard(page, page_size());
      ::munmap(page, page_size());
    }
  }
  return guards.load(std::memory_order_relaxed) == light;
}

void forbid_light_guards(bool forbidden) noexcept {
  guards.store(forbidden ? heavy : unknown, std::memory_order_relaxed);
}

}  // namespace coir::sys

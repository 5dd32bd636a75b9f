#include "sys/own_fds.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "sys/raw.hpp"

namespace coir::sys {
namespace {

// Higher numbers are not noted: what the program does to them is its own affair.
constexpr unsigned most = 65536;
std::atomic<std::uint64_t> noted[most / 64];

// In the child of a fork the reactors are not used any more, and its numbers are its own.
const bool own_fds_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
                                    for (auto& place : noted) place.store(0, std::memory_order_relaxed);
                                  }) == 0;

// Above most programs' own, and not so high that the kernel's table of them would grow large.
int where_to() noexcept {
  rlimit limit = {};
  if (raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, word(&limit)) != 0 || limit.rlim_cur < 128) return 0;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1024) / 16 * 15);
}

}  // namespace

int adopt_fd(long made) noexcept {
  const int from = where_to();
  int fd = static_cast<int>(made);
  if (fd >= 0 && fd < from) {
    const long high = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
    if (high >= 0) {
      raw(SYS_close, fd);
      fd = static_cast<int>(high);
    }
  }
  if (fd >= 0 && fd < static_cast<int>(most))
    noted[fd / 64].fetch_or(std::uint64_t{1} << (fd % 64), std::memory_order_relaxed);
  return fd;
}

void disown_fd(int fd) noexcept {
  if (fd >= 0 && fd < static_cast<int>(most))
    noted[fd / 64].fetch_and(~(std::uint64_t{1} << (fd % 64)), std::memory_order_relaxed);
}

void close_own_fd(int fd) noexcept {
  disown_fd(fd);
  if (fd >= 0) raw(SYS_close, fd);
}

bool is_own_fd(int fd) noexcept {
  return fd >= 0 && fd < static_cast<int>(most) &&
         (noted[fd / 64].load(std::memory_order_relaxed) >> (fd % 64) & 1) != 0;
}

int first_own_fd(unsigned first, unsigned last) noexcept {
  for (unsigned place = first / 64; place <= std::min(last, most - 1) / 64 && first < most; ++place) {
    std::uint64_t here = noted[place].load(std::memory_order_relaxed);
    if (place == first / 64) here &= ~std::uint64_t{0} << (first % 64);
    if (here == 0) continue;
    const unsigned found = place * 64 + static_cast<unsigned>(std::countr_zero(here));
    return found <= last ? static_cast<int>(found) : -1;
  }
  return -1;
}

}  // namespace coir::sys

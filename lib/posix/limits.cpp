#include "posix/limits.hpp"

#include <sys/socket.h>

#include <atomic>
#include <cstdint>

#include "sys/raw.hpp"

namespace coir::posix {
namespace {

// Each has a cookie, and in the two lowest bits which of its limits are over. Cookies are given in order, so
// that a place is taken by another socket only after all others were.
constexpr std::size_t most = 1024;
std::atomic<std::uint64_t> sockets[most];
std::atomic<bool> any{false};

// The socket's place, and its cookie moved out of the way of the bits; null where the kernel knows no
// cookies.
std::atomic<std::uint64_t>* place_of(int fd, std::uint64_t& cookie) noexcept {
  socklen_t size = sizeof cookie;
  constexpr int so_cookie = 57;
  if (sys::raw(SYS_getsockopt, fd, SOL_SOCKET, so_cookie, sys::word(&cookie), sys::word(&size)) != 0)
    return nullptr;
  std::atomic<std::uint64_t>* const place = &sockets[cookie % most];
  cookie <<= 2;
  return place;
}

constexpr std::uint64_t bit_of(int option) noexcept {
  return option == SO_RCVTIMEO ? 1 : 2;
}

}  // namespace

void note_limit(int fd, int option, long seconds) noexcept {
  const bool over = seconds < 0;
  if (!over && !any.load(std::memory_order_relaxed)) return;
  std::uint64_t cookie = 0;
  std::atomic<std::uint64_t>* const place = place_of(fd, cookie);
  if (place == nullptr) return;
  any.store(true, std::memory_order_relaxed);
  std::uint64_t was = place->load(std::memory_order_relaxed);
  std::uint64_t now = 0;
  do {
    const bool known = (was & ~std::uint64_t{3}) == cookie;
    if (!known && !over) return;
    const std::uint64_t bits = known ? was & 3 : 0;
    now = cookie | (over ? bits | bit_of(option) : bits & ~bit_of(option));
  } while (!place->compare_exchange_weak(was, now, std::memory_order_relaxed));
}

bool was_over(int fd, int option) noexcept {
  if (!any.load(std::memory_order_relaxed)) return false;
  std::uint64_t cookie = 0;
  const std::atomic<std::uint64_t>* const place = place_of(fd, cookie);
  if (place == nullptr) return false;
  const std::uint64_t known = place->load(std::memory_order_relaxed);
  return (known & ~std::uint64_t{3}) == cookie && (known & bit_of(option)) != 0;
}

}  // namespace coir::posix

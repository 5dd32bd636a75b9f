// The end of a descriptor's life, for who waits for it (D9). Any thread, not in a signal handler.
#pragma once

#include "reactor/fd_table.hpp"

namespace coir::wait {

// What the process knows of a number; null for one that coir does not keep account of.
inline reactor::fd_owner* owner_of(int fd) noexcept {
  if (fd < 0 || fd >= reactor::most_descriptors) return nullptr;
  reactor::fd_owner* owners = reactor::fd_owners();
  return owners == nullptr ? nullptr : owners + fd;
}

// The number is about to be closed or replaced: its waiters on every thread get -EBADF, and what is
// remembered of it is void.
void forget(int fd, reactor::fd_owner& owner) noexcept;

// Voids what is known of a number whose owner changes: also of one that coir has just made, which may have
// been closed behind coir's back.
inline int fresh(int fd) noexcept {
  reactor::fd_owner* owner = owner_of(fd);
  if (owner != nullptr && owner->users.load(std::memory_order_acquire) != 0) forget(fd, *owner);
  return fd;
}

// Forgets it, and closes it, without any hook: for descriptors that coir made for itself.
void close(int fd) noexcept;

}  // namespace coir::wait

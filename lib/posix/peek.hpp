// The program's memory, where nobody knows whether it is there: the kernel says EFAULT where a plain access
// would end the process. In signal handlers too.
#pragma once

#include <errno.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstring>

#include "sys/raw.hpp"

namespace coir::posix {

namespace detail_of_peek {
inline bool move(long call, void* mine, long theirs, std::size_t bytes) noexcept {
  if (bytes == 0) return true;
  const iovec local = {mine, bytes}, remote = {reinterpret_cast<void*>(theirs), bytes};
  const long r = sys::raw(call, sys::raw(SYS_getpid), sys::word(&local), 1, sys::word(&remote), 1, 0);
  if (r >= 0 || r == -EFAULT) return r == static_cast<long>(bytes);
  // Forbidden here.
  if (call == SYS_process_vm_readv)
    std::memcpy(mine, remote.iov_base, bytes);
  else
    std::memcpy(remote.iov_base, mine, bytes);
  return true;
}
}  // namespace detail_of_peek

// False: not all of it is there.
inline bool peek(long address, void* to, std::size_t bytes) noexcept {
  return detail_of_peek::move(SYS_process_vm_readv, to, address, bytes);
}
template <class T>
bool peek(long address, T& to) noexcept {
  return peek(address, &to, sizeof to);
}
template <class T>
bool poke(long address, T from) noexcept {
  return detail_of_peek::move(SYS_process_vm_writev, &from, address, sizeof from);
}

}  // namespace coir::posix

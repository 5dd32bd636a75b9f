// Sockets.
#include <netinet/in.h>
#include <sys/time.h>

#include "patch/hook.hpp"
#include "posix/close.hpp"
#include "posix/limits.hpp"
#include "posix/sockets.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(io)

extern "C" [[noreturn]] void __chk_fail(void);

COIR_HOOK ssize_t recv(int fd, void* b, size_t n, int flags) {
  return COIR_COOPERATIVE ? posix::recv(fd, b, n, flags) : real.recv(fd, b, n, flags);
}
COIR_HOOK ssize_t __recv_chk(int fd, void* b, size_t n, size_t has, int flags) {
  if (n > has) __chk_fail();
  return recv(fd, b, n, flags);
}
COIR_HOOK ssize_t recvfrom(int fd, void* __restrict b, size_t n, int flags, sockaddr* __restrict a,
                           socklen_t* __restrict l) {
  return COIR_COOPERATIVE ? posix::recvfrom(fd, b, n, flags, a, l) : real.recvfrom(fd, b, n, flags, a, l);
}
COIR_HOOK ssize_t __recvfrom_chk(int fd, void* b, size_t n, size_t has, int flags, sockaddr* a,
                                 socklen_t* l) {
  if (n > has) __chk_fail();
  return recvfrom(fd, b, n, flags, a, l);
}
COIR_HOOK ssize_t recvmsg(int fd, msghdr* m, int flags) {
  return COIR_COOPERATIVE ? posix::recvmsg(fd, m, flags) : real.recvmsg(fd, m, flags);
}
COIR_HOOK int recvmmsg(int fd, mmsghdr* m, unsigned n, int flags, timespec* t) {
  return COIR_COOPERATIVE ? posix::recvmmsg(fd, m, n, flags, t) : real.recvmmsg(fd, m, n, flags, t);
}
COIR_HOOK ssize_t send(int fd, const void* b, size_t n, int flags) {
  return COIR_COOPERATIVE ? posix::send(fd, b, n, flags) : real.send(fd, b, n, flags);
}
COIR_HOOK ssize_t sendto(int fd, const void* b, size_t n, int flags, const sockaddr* a, socklen_t l) {
  return COIR_COOPERATIVE ? posix::sendto(fd, b, n, flags, a, l) : real.sendto(fd, b, n, flags, a, l);
}
COIR_HOOK ssize_t sendmsg(int fd, const msghdr* m, int flags) {
  return COIR_COOPERATIVE ? posix::sendmsg(fd, m, flags) : real.sendmsg(fd, m, flags);
}
COIR_HOOK int sendmmsg(int fd, mmsghdr* m, unsigned n, int flags) {
  return COIR_COOPERATIVE ? posix::sendmmsg(fd, m, n, flags) : real.sendmmsg(fd, m, n, flags);
}
COIR_HOOK int connect(int fd, const sockaddr* a, socklen_t l) {
  return COIR_COOPERATIVE ? posix::connect(fd, a, l) : real.connect(fd, a, l);
}
COIR_HOOK int accept4(int fd, sockaddr* a, socklen_t* l, int flags) {
  if (COIR_COOPERATIVE) return posix::accept4(fd, a, l, flags);
  const int made = real.accept4(fd, a, l, flags);
  if (made >= 0) posix::note_new_socket(made);
  return made;
}
COIR_HOOK int accept(int fd, sockaddr* __restrict a, socklen_t* __restrict l) {
  if (COIR_COOPERATIVE) return posix::accept4(fd, a, l, 0);
  const int made = real.accept(fd, a, l);
  if (made >= 0) posix::note_new_socket(made);
  return made;
}

// These never wait; coir only has to hear of them.
COIR_HOOK int socket(int domain, int type, int protocol) noexcept {
  const int made = real.socket(domain, type, protocol);
  if (made >= 0) posix::note_new_socket(made);
  return made;
}
COIR_HOOK int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  const int r = real.setsockopt(fd, level, name, value, size);
  constexpr int tcp_ulp = 31;
  constexpr int tcp_fastopen_connect = 30;
  if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
    if (r == 0) posix::note_limit(fd, name, static_cast<const timeval*>(value)->tv_sec);
    posix::flags_changed();
  }
  if (level == SOL_SOCKET && name == SO_LINGER) posix::linger_used.store(true, std::memory_order_relaxed);
  if (level == SOL_SOCKET && name == SO_RCVLOWAT) posix::low_marks.store(true, std::memory_order_relaxed);
  if (level == IPPROTO_TCP && name == tcp_ulp) posix::not_plain_tcp(fd);
  if (level == IPPROTO_TCP && name == tcp_fastopen_connect)
    posix::late_connects.store(true, std::memory_order_relaxed);
  return r;
}
COIR_HOOK int shutdown(int fd, int how) noexcept {
  return real.shutdown(fd, how);
}

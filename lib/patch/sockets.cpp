// Sockets.
#include "posix/sockets.hpp"
#include "patch/hook.hpp"
#include "posix/close.hpp"

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
  if (COIR_COOPERATIVE) return posix::recvmsg(fd, m, flags);
  const ssize_t r = real.recvmsg(fd, m, flags);
  if (r >= 0) posix::note_received(*m);
  return r;
}
COIR_HOOK int recvmmsg(int fd, mmsghdr* m, unsigned n, int flags, timespec* t) {
  if (COIR_COOPERATIVE) return posix::recvmmsg(fd, m, n, flags, t);
  const int r = real.recvmmsg(fd, m, n, flags, t);
  for (int i = 0; i < r; ++i) posix::note_received(m[i].msg_hdr);
  return r;
}
COIR_HOOK ssize_t send(int fd, const void* b, size_t n, int flags) {
  return COIR_COOPERATIVE ? posix::send(fd, b, n, flags) : real.send(fd, b, n, flags);
}
COIR_HOOK ssize_t sendto(int fd, const void* b, size_t n, int flags, const sockaddr* a, socklen_t l) {
  return COIR_COOPERATIVE ? posix::sendto(fd, b, n, flags, a, l) : real.sendto(fd, b, n, flags, a, l);
}
COIR_HOOK ssize_t sendmsg(int fd, const msghdr* m, int flags) {
  if (COIR_COOPERATIVE) return posix::sendmsg(fd, m, flags);
  const ssize_t r = real.sendmsg(fd, m, flags);
  if (r >= 0) posix::note_passed(*m);
  return r;
}
COIR_HOOK int sendmmsg(int fd, mmsghdr* m, unsigned n, int flags) {
  if (COIR_COOPERATIVE) return posix::sendmmsg(fd, m, n, flags);
  const int r = real.sendmmsg(fd, m, n, flags);
  for (int i = 0; i < r; ++i) posix::note_passed(m[i].msg_hdr);
  return r;
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
  posix::note_option(fd, level, name, value, r == 0);
  return r;
}
COIR_HOOK int shutdown(int fd, int how) noexcept {
  return real.shutdown(fd, how);
}

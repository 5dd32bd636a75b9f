// poll, select, epoll_wait.
#include "posix/multiplex.hpp"

#include "patch/hook.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(io)

extern "C" [[noreturn]] void __chk_fail(void);

COIR_HOOK int poll(pollfd* f, nfds_t n, int timeout_ms) {
  return COIR_COOPERATIVE ? posix::poll(f, n, timeout_ms) : real.poll(f, n, timeout_ms);
}
COIR_HOOK int __poll(pollfd* f, nfds_t n, int timeout_ms) {
  return poll(f, n, timeout_ms);
}
COIR_HOOK int __poll_chk(pollfd* f, nfds_t n, int timeout_ms, size_t has) {
  if (n > has / sizeof *f) __chk_fail();
  return poll(f, n, timeout_ms);
}
COIR_HOOK int ppoll(pollfd* f, nfds_t n, const timespec* t, const sigset_t* mask) {
  return COIR_COOPERATIVE ? posix::ppoll(f, n, t, mask) : real.ppoll(f, n, t, mask);
}
COIR_HOOK int __ppoll_chk(pollfd* f, nfds_t n, const timespec* t, const sigset_t* mask, size_t has) {
  if (n > has / sizeof *f) __chk_fail();
  return ppoll(f, n, t, mask);
}
COIR_HOOK int select(int n, fd_set* __restrict r, fd_set* __restrict w, fd_set* __restrict x,
                     timeval* __restrict t) {
  return COIR_COOPERATIVE ? posix::select(n, r, w, x, t) : real.select(n, r, w, x, t);
}
COIR_HOOK int pselect(int n, fd_set* __restrict r, fd_set* __restrict w, fd_set* __restrict x,
                      const timespec* __restrict t, const sigset_t* __restrict mask) {
  return COIR_COOPERATIVE ? posix::pselect(n, r, w, x, t, mask) : real.pselect(n, r, w, x, t, mask);
}
COIR_HOOK int epoll_wait(int fd, epoll_event* e, int n, int timeout_ms) {
  return COIR_COOPERATIVE ? posix::epoll_pwait(fd, e, n, timeout_ms, nullptr)
                          : real.epoll_wait(fd, e, n, timeout_ms);
}
COIR_HOOK int epoll_pwait(int fd, epoll_event* e, int n, int timeout_ms, const sigset_t* mask) {
  return COIR_COOPERATIVE ? posix::epoll_pwait(fd, e, n, timeout_ms, mask)
                          : real.epoll_pwait(fd, e, n, timeout_ms, mask);
}
COIR_HOOK int epoll_pwait2(int fd, epoll_event* e, int n, const timespec* t, const sigset_t* mask) {
  return COIR_COOPERATIVE ? posix::epoll_pwait2(fd, e, n, t, mask) : real.epoll_pwait2(fd, e, n, t, mask);
}

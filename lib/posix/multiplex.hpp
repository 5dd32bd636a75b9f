// poll, select and epoll_wait as they behave on fibers; see sockets.hpp for what all twins share.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

namespace coir::posix {

int poll(pollfd* fds, nfds_t count, int timeout_ms) noexcept;
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept;
int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) noexcept;
int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) noexcept;
int epoll_pwait(int fd, epoll_event* events, int count, int timeout_ms, const sigset_t* mask) noexcept;
int epoll_pwait2(int fd, epoll_event* events, int count, const timespec* timeout,
                 const sigset_t* mask) noexcept;

}  // namespace coir::posix

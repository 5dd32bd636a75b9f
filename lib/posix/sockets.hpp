// recv, send and their families as they behave on fibers. Each has libc's signature and contract (its man
// page), with ECANCELED and ETIMEDOUT for coir's own reasons; none throws.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <atomic>

#include "base/clock.hpp"

namespace coir::posix {

struct call;

ssize_t recv(int fd, void* buffer, size_t size, int flags) noexcept;
ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* from, socklen_t* from_size) noexcept;
ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept;
int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) noexcept;
ssize_t send(int fd, const void* buffer, size_t size, int flags) noexcept;
// Sends what can be sent at once, waiting until that is something.
ssize_t send_some(int fd, class output_source& from) noexcept;  // files.hpp
ssize_t sendto(int fd, const void* buffer, size_t size, int flags, const sockaddr* to,
               socklen_t to_size) noexcept;
ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept;
int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept;
int connect(int fd, const sockaddr* to, socklen_t to_size) noexcept;
int accept4(int fd, sockaddr* from, socklen_t* from_size, int flags) noexcept;

// recv and send as parts of another call on `c`, whose state is known; the kernel's answer or -errno.
long receive_bytes(call& c, void* buffer, size_t size, int flags) noexcept;
long send_bytes(call& c, const void* buffer, size_t size, int flags, const sockaddr* to = nullptr,
                socklen_t to_size = 0) noexcept;

// Whether a patched setsockopt ever set a SO_RCVLOWAT; until then no receive asks for one.
extern std::atomic<bool> low_marks;

// Whether a patched setsockopt ever set TCP_FASTOPEN_CONNECT; until then no connect looks for its having done
// nothing yet.
extern std::atomic<bool> late_connects;

// The end of a connect that started and is not over: 0 or -errno, -EINPROGRESS at `deadline`.
long finish_connect(call& c, base::nanoseconds deadline) noexcept;
bool is_internet(int fd) noexcept;
bool is_unix(int fd) noexcept;
bool is_stream(int fd) noexcept;

// A socket() of this process returned `fd`.
void note_new_socket(int fd) noexcept;

// A message that was received, or sent: descriptors that it brought start anew, and sockets that it passed on
// are shared.
void note_received(msghdr& m) noexcept;
void note_passed(const msghdr& m) noexcept;

}  // namespace coir::posix

// Descriptors that go away or change: who waits for them is woken before the number can be used again (D9).
// All of these may be called on any thread, fiber or not.
#pragma once

#include <atomic>
#include <cstddef>

namespace coir::posix {

// The child of a vfork runs in this memory until it execs: what it closes are its own descriptors, not the
// parent's, and its fiber cannot park.
bool in_vfork_child() noexcept;

// `fd` is about to be closed or replaced: its waiters on every thread get EBADF, what is remembered of it is
// void.
void forget(int fd) noexcept;
// The same for first … last.
void forget_range(unsigned first, unsigned last) noexcept;
// The kernel has given the number to a file, where coir may remember another one of it that was closed
// unheard.
void begins_anew(int fd) noexcept;

// close, with the waiters woken first. Waits only where SO_LINGER says so. On plain threads a cancellation
// point: not noexcept.
int close(int fd);
// The same with the kernel's answer, and no cancellation point.
long close_raw(int fd) noexcept;
int close_range(unsigned first, unsigned last, int flags) noexcept;
void closefrom(int first) noexcept;
int dup2(int from, int to) noexcept;
int dup3(int from, int to, int flags) noexcept;

// Whether a patched setsockopt ever set SO_LINGER; until then no close asks for it.
extern std::atomic<bool> linger_used;

// O_NONBLOCK, SO_RCVTIMEO or the like of what the number names changed: what is remembered of flags is asked
// anew.
void flags_changed(int fd) noexcept;
// Whether that happened to `fd`, or may have, since flags_epoch was `epoch`.
bool flags_changed_since(int fd, std::uint32_t epoch) noexcept;
// fcntl(2) with `command` has answered `r`, which is returned; setsockopt(2) was made.
long note_control(int fd, int command, long r) noexcept;
void note_option(int fd, int level, int name, const void* value, bool done) noexcept;
// The stream may from now on return short reads that have not drained it (kernel TLS).
void not_plain_tcp(int fd) noexcept;

}  // namespace coir::posix

// The limits of a socket that the kernel does not tell: SO_RCVTIMEO and SO_SNDTIMEO below zero, which mean
// that no call waits, are read back as zero, which means for ever. So they are remembered, by the socket's
// cookie: for all duplicates of it, until it is set anew. Those of the last thousand such sockets are.
#pragma once

namespace coir::posix {

// setsockopt set `option`, SO_RCVTIMEO or SO_SNDTIMEO, of `fd` to a timeval that begins with `seconds`.
void note_limit(int fd, int option, long seconds) noexcept;

// Whether that was negative.
bool was_over(int fd, int option) noexcept;

}  // namespace coir::posix

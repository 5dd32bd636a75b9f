// What stdio's twins look at in glibc's FILE, and what input, output and scanning share. All of it with the
// stream's lock held (stream_lock).
#pragma once

#include <stdio.h>

#include "posix/descriptor.hpp"
#include "posix/stream_lock.hpp"

namespace coir::posix::stream {

// Of FILE::_flags.
inline constexpr int unbuffered = 0x2, no_reads = 0x4, no_writes = 0x8, end_seen = 0x10, error_seen = 0x20,
                     linked = 0x80, in_backup = 0x100, line_buffered = 0x200, putting = 0x800,
                     appending = 0x1000, has_descriptor = 0x2000;

// The descriptor of a byte-oriented stream; -1: memory, a cookie, wide characters. Those are libc's.
inline int descriptor_of(const FILE* f) noexcept {
  return (f->_flags & has_descriptor) != 0 && f->_mode <= 0 ? f->_fileno : -1;
}

// Whether reading or writing may have to wait for somebody: all but files.
inline bool may_block(call& c) noexcept {
  if (c.state == nullptr) return false;
  const fd_kind k = kind_of(c);
  return k != fd_kind::file && k != fd_kind::quick && k != fd_kind::unknown;
}

inline bool reads_may_block(const FILE* f) noexcept {
  const int fd = descriptor_of(f);
  if (fd < 0 || (f->_flags & no_reads) != 0) return false;
  call c(fd, "stdio read");
  return may_block(c);
}

// The next byte, or EOF.
int next(stream_lock& mine, FILE* f) noexcept;

// Writes out what is pending, unless that is libc's to do. False: it could not; the stream shows an error.
bool flush(FILE* f) noexcept;
// The same for a stream that is about to end, in its turn: what cannot be written is gone. 0 or the errno.
int flush_last(FILE* f) noexcept;

inline std::size_t pending(const FILE* f) noexcept {
  return static_cast<std::size_t>(f->_IO_write_ptr - f->_IO_write_base);
}

}  // namespace coir::posix::stream

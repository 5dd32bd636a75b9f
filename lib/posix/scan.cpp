// scanf on pipes, sockets and terminals: libc's own, on a stream that takes byte after byte from the real
// one, and gives back the one it looked at in vain.
#include "posix/scan.hpp"

#include <errno.h>
#include <stdio_ext.h>

#include "posix/stream_state.hpp"
#include "sys/real.hpp"

namespace coir::posix {
namespace {

using namespace stream;

struct source {
  stream_lock& lock;
  FILE* file;
};

ssize_t read_one(void* cookie, char* into, size_t) {
  const source& from = *static_cast<source*>(cookie);
  const int c = next(from.lock, from.file);
  if (c == EOF) return !from.lock || (from.file->_flags & error_seen) != 0 ? -1 : 0;
  *into = static_cast<char>(c);
  return 1;
}

}  // namespace

int vfscanf(FILE* f, scanner scan, const char* format, va_list rest) noexcept {
  stream_lock mine(f);
  if (!mine) return EOF;
  if (format == nullptr || !reads_may_block(f)) return scan(f, format, rest);
  source from = {mine, f};
  FILE* bytewise = ::fopencookie(&from, "r", {read_one, nullptr, nullptr, nullptr});
  if (bytewise == nullptr) return EOF;
  char one[1];
  ::setvbuf(bytewise, one, _IOFBF, sizeof one);     // an unbuffered stream would flush stdout
  ::__fsetlocking(bytewise, FSETLOCKING_BYCALLER);  // nobody who flushes all streams is to wait for it
  const int result = scan(bytewise, format, rest);
  const int error = errno;
  if (mine && bytewise->_IO_read_ptr != bytewise->_IO_read_end)
    ::ungetc(static_cast<unsigned char>(*bytewise->_IO_read_ptr), f);
  sys::real.fclose(bytewise);
  errno = error;
  return result;
}

}  // namespace coir::posix

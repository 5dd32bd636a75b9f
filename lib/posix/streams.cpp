// Input by stdio on pipes, sockets and terminals. While a stream's buffer is empty the fiber waits for its
// descriptor, then lets libc fill the buffer: one fill is one read(2), which finds data. What an fread wants
// beyond a whole buffer goes straight to the caller. Plain threads may use the stream while it waits.
#include "posix/streams.hpp"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "posix/stream_state.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"

namespace coir::posix {
namespace {

using namespace stream;

std::size_t buffered(FILE* f) noexcept {
  return static_cast<std::size_t>(f->_IO_read_end - f->_IO_read_ptr);
}

// What libc writes out before it reads: this stream's own output, and a prompt on the terminal.
bool flush_first(FILE* f) noexcept {
  if ((f->_flags & putting) != 0 && !flush(f)) return false;
  constexpr int prompting = linked | line_buffered;
  if (((f->_flags & (line_buffered | unbuffered)) != 0 || f->_IO_buf_base == nullptr) && f != stdout &&
      (stdout->_flags & (prompting | no_writes)) == prompting && pending(stdout) != 0) {
    const stream_lock out(stdout);
    if (out) flush(stdout);
  }
  return true;
}

// Waits until the descriptor has something to read, an end or an error. False: interrupted; the stream shows
// an error, unless others use it, and errno says which.
bool wait_for_descriptor(stream_lock& mine, FILE* f) noexcept {
  const int fd = descriptor_of(f);
  call c(fd, "stdio read");
  if (!may_block(c) || ready_now(fd, direction::in)) return true;
  base::nanoseconds deadline;
  if (may_wait(c, direction::in, deadline) != 0)
    return true;  // the user's non-blocking one: libc will say so
  c.ends_by_signal = deadline != base::never;
  long r;
  do {
    mine.let_threads_in();
    r = wait_ready(c, direction::in, deadline, false);
    if (!mine.keep_threads_out()) return false;
  } while (r == 0 && buffered(f) == 0 && !ready_now(fd, direction::in));  // another reader was faster
  if (r == 0 || r == -EPERM) return true;
  f->_flags |= error_seen;
  errno = static_cast<int>(-r);
  return false;
}

// Waits, if the next byte is neither in the buffer nor an end or error already known. False: as above, or
// output could not be flushed.
bool wait_for_input(stream_lock& mine, FILE* f) noexcept {
  const bool behind_backup = (f->_flags & in_backup) != 0 && f->_IO_save_base != f->_IO_save_end;
  if (buffered(f) != 0 || behind_backup || (f->_flags & (end_seen | no_reads)) != 0 || descriptor_of(f) < 0)
    return true;
  return flush_first(f) && wait_for_descriptor(mine, f);
}

// What of the buffer may be taken at once: up to `most` bytes, and not beyond a byte `end` (EOF: any).
std::size_t take(FILE* f, char* into, std::size_t most, int end) noexcept {
  std::size_t n = f->_mode <= 0 ? std::min(buffered(f), most) : 0;
  if (n == 0) return 0;
  if (end != EOF)
    if (const void* at = ::memchr(f->_IO_read_ptr, end, n); at != nullptr)
      n = static_cast<std::size_t>(static_cast<const char*>(at) - f->_IO_read_ptr) + 1;
  ::memcpy(into, f->_IO_read_ptr, n);
  f->_IO_read_ptr += n;
  return n;
}

// Whether libc would read `n` bytes, for which the buffer is empty, without it.
bool bypasses_buffer(const FILE* f, std::size_t n) noexcept {
  return f->_IO_buf_base != nullptr && (f->_flags & (putting | in_backup)) == 0 &&
         n >= static_cast<std::size_t>(f->_IO_buf_end - f->_IO_buf_base);
}

// At least one of `n` bytes; 0: the end or an error. By libc's rules (_IO_file_xsgetn).
std::size_t read_some(stream_lock& mine, FILE* f, char* into, std::size_t n) noexcept {
  if (const std::size_t had = take(f, into, n, EOF); had != 0) return had;
  if (!bypasses_buffer(f, n)) {
    const int c = next(mine, f);
    if (c == EOF) return 0;
    *into = static_cast<char>(c);
    return 1;
  }
  if (!wait_for_descriptor(mine, f)) return 0;
  if (buffered(f) != 0 || !bypasses_buffer(f, n)) return read_some(mine, f, into, n);  // a thread used it
  f->_IO_read_base = f->_IO_read_ptr = f->_IO_read_end = f->_IO_buf_base;
  f->_IO_write_base = f->_IO_write_ptr = f->_IO_write_end = f->_IO_buf_base;
  const auto block = static_cast<std::size_t>(f->_IO_buf_end - f->_IO_buf_base);
  const std::size_t whole = block >= 128 ? n - n % block : n;
  const long r = answer(sys::raw(SYS_read, f->_fileno, sys::word(into), static_cast<long>(whole)));
  if (r <= 0)
    f->_flags |= r == 0 ? end_seen : error_seen;
  else if (f->_offset >= 0)
    f->_offset += r;
  return r > 0 ? static_cast<std::size_t>(r) : 0;
}

// Up to `most` bytes, as many as there are before the end, an error, or after the first `end`.
std::size_t gather(stream_lock& mine, FILE* f, char* into, std::size_t most, int end) noexcept {
  std::size_t got = 0;
  while (got < most) {
    std::size_t n = take(f, into + got, most - got, end);
    if (n == 0) {
      const int c = next(mine, f);
      if (c == EOF) break;
      into[got] = static_cast<char>(c);
      n = 1;
    }
    got += n;
    if (static_cast<unsigned char>(into[got - 1]) == end) break;
  }
  return got;
}

}  // namespace

// In a fully static program libc's other functions call the hook of __uflow, and so this.
int stream::next(stream_lock& mine, FILE* f) noexcept {
  if (f->_mode <= 0 && buffered(f) != 0) return static_cast<unsigned char>(*f->_IO_read_ptr++);
  return wait_for_input(mine, f) ? sys::real.__uflow(f) : EOF;
}

int getc(FILE* f) noexcept {
  stream_lock mine(f);
  return mine ? next(mine, f) : EOF;
}

char* fgets(char* into, int size, FILE* f) noexcept {
  if (size <= 0) return nullptr;
  if (size == 1) {
    *into = '\0';
    return into;
  }
  stream_lock mine(f);
  if (!mine) return nullptr;
  // As libc: an earlier error does not count, and one of a non-blocking descriptor leaves what was read.
  const int earlier = f->_flags & error_seen;
  f->_flags &= ~error_seen;
  const std::size_t got = gather(mine, f, into, static_cast<std::size_t>(size - 1), '\n');
  if (!mine) return nullptr;
  const bool failed = got == 0 || ((f->_flags & error_seen) != 0 && errno != EAGAIN);
  f->_flags |= earlier;
  if (failed) return nullptr;
  into[got] = '\0';
  return into;
}

ssize_t getdelim(char** line, size_t* room, int end, FILE* f) noexcept {
  if (line == nullptr || room == nullptr) return answer(-EINVAL);
  stream_lock mine(f);
  if (!mine) return -1;
  if (*room == 0) *line = nullptr;  // as libc: nobody's buffer
  if (*line == nullptr) *room = 0;
  std::size_t got = 0;
  for (;;) {
    if (*room < got + 2) {
      const std::size_t wider = std::max<std::size_t>(120, 2 * *room);
      auto* grown = static_cast<char*>(::realloc(*line, wider));
      if (grown == nullptr) return -1;
      *line = grown;
      *room = wider;
    }
    const std::size_t n = gather(mine, f, *line + got, *room - got - 1, static_cast<unsigned char>(end));
    got += n;
    if (n == 0 || (*line)[got - 1] == static_cast<char>(end) || got + 1 < *room) break;
  }
  if (got == 0) return -1;
  (*line)[got] = '\0';
  return static_cast<ssize_t>(got);
}

size_t fread(void* into, size_t size, size_t count, FILE* f) noexcept {
  const std::size_t n = size * count;
  if (n == 0) return 0;
  stream_lock mine(f);
  if (!mine) return 0;
  auto* bytes = static_cast<char*>(into);
  std::size_t got = take(f, bytes, n, EOF);
  if (got == n) return count;
  if (!reads_may_block(f)) {
    if (flush_first(f)) got += sys::real.fread_unlocked(bytes + got, 1, n - got, f);
    return got / size;
  }
  while (got < n) {
    const std::size_t r = read_some(mine, f, bytes + got, n - got);
    if (r == 0) break;
    got += r;
  }
  return got / size;
}

}  // namespace coir::posix

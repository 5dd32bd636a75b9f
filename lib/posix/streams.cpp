// Input by stdio on pipes, sockets and terminals. While a stream's buffer is empty the fiber waits for its
// descriptor, then lets libc fill the buffer: one fill is one read(2), which finds data.
//
// A stream is used by one fiber at a time. libc's own lock, which belongs to threads, is held only while
// nothing can wait.
#include "posix/streams.hpp"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "posix/descriptor.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"
#include "wait/lot.hpp"

namespace coir::posix {
namespace {

using wait::lot;

// Of glibc's FILE::_flags.
constexpr int end_seen = 0x10, error_seen = 0x20, in_backup = 0x100, putting = 0x800;

struct stripe {
  std::atomic<bool> held{false};
};
stripe stripes[64];

// Two streams may share a stripe, and no fiber holds two.
class turn {
 public:
  explicit turn(FILE* f) noexcept : mine_(stripes[reinterpret_cast<std::uintptr_t>(f) / 16 % 64]), file_(f) {
    while (mine_.held.exchange(true, std::memory_order_seq_cst)) {
      wait::lot_waiter w;
      lot::park(&mine_, w, "stdio", base::never, wait::mode::uninterruptible,
                [this] { return mine_.held.load(std::memory_order_seq_cst); });
    }
    // A thread without fibers may be inside, waiting for input with libc's lock held.
    while (::ftrylockfile(f) != 0) {
      wait::waiter w;
      wait::park_until(w, "stdio", w.fiber->home->now() + 1'000'000, wait::mode::uninterruptible);
    }
  }
  ~turn() {
    ::funlockfile(file_);
    mine_.held.store(false, std::memory_order_seq_cst);
    if (lot::anyone()) lot::wake(&mine_, 1);
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

 private:
  stripe& mine_;
  FILE* file_;
};

std::size_t buffered(FILE* f) noexcept {
  return static_cast<std::size_t>(f->_IO_read_end - f->_IO_read_ptr);
}

// Waits, if the next byte is neither in the buffer nor an end or error already known. False: interrupted; the
// stream shows an error, and errno says which.
bool wait_for_input(FILE* f) noexcept {
  if (buffered(f) != 0 || (f->_flags & (end_seen | in_backup | putting)) != 0 || f->_mode > 0) return true;
  const int fd = ::fileno_unlocked(f);
  if (fd < 0) return true;
  call c(fd, "stdio read");
  if (c.state == nullptr || kind_of(c) == fd_kind::file || c.state->kind == fd_kind::quick ||
      ready_now(fd, direction::in))
    return true;
  base::nanoseconds deadline;
  if (may_wait(c, direction::in, deadline) != 0)
    return true;  // the user's non-blocking one: libc will say so
  c.ends_by_signal = deadline != base::never;
  long r;
  do {
    ::funlockfile(f);
    r = wait_ready(c, direction::in, deadline, false);
    while (::ftrylockfile(f) != 0) nap(c, base::never);
  } while (r == 0 && !ready_now(fd, direction::in));  // another reader was faster
  if (r == 0 || r == -EPERM) return true;
  f->_flags |= error_seen;
  errno = static_cast<int>(-r);
  return false;
}

// The next byte, or EOF.
int next(FILE* f) noexcept {
  if (f->_mode <= 0 && buffered(f) != 0) return static_cast<unsigned char>(*f->_IO_read_ptr++);
  return wait_for_input(f) ? sys::real.fgetc_unlocked(f) : EOF;
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

// Up to `most` bytes, as many as there are before the end, an error, or after the first `end`.
std::size_t gather(FILE* f, char* into, std::size_t most, int end) noexcept {
  std::size_t got = 0;
  while (got < most) {
    std::size_t n = take(f, into + got, most - got, end);
    if (n == 0) {
      const int c = next(f);
      if (c == EOF) break;
      into[got] = static_cast<char>(c);
      n = 1;
    }
    got += n;
    if (end != EOF && static_cast<unsigned char>(into[got - 1]) == end) break;
  }
  return got;
}

}  // namespace

int getc(FILE* f) noexcept {
  const turn mine(f);
  return next(f);
}

char* fgets(char* into, int size, FILE* f) noexcept {
  if (size <= 0) return nullptr;
  if (size == 1) {
    *into = '\0';
    return into;
  }
  const turn mine(f);
  // As libc: an earlier error does not count, and one of a non-blocking descriptor leaves what was read.
  const int earlier = f->_flags & error_seen;
  f->_flags &= ~error_seen;
  const std::size_t got = gather(f, into, static_cast<std::size_t>(size - 1), '\n');
  const bool failed = got == 0 || ((f->_flags & error_seen) != 0 && errno != EAGAIN);
  f->_flags |= earlier;
  if (failed) return nullptr;
  into[got] = '\0';
  return into;
}

ssize_t getdelim(char** line, size_t* room, int end, FILE* f) noexcept {
  if (line == nullptr || room == nullptr) return answer(-EINVAL);
  const turn mine(f);
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
    const std::size_t n = gather(f, *line + got, *room - got - 1, static_cast<unsigned char>(end));
    got += n;
    if (n == 0 || (*line)[got - 1] == static_cast<char>(end) || got + 1 < *room) break;
  }
  if (got == 0) return -1;
  (*line)[got] = '\0';
  return static_cast<ssize_t>(got);
}

size_t fread(void* into, size_t size, size_t count, FILE* f) noexcept {
  if (size == 0 || count == 0) return 0;
  const turn mine(f);
  const std::size_t got = gather(f, static_cast<char*>(into), size * count, EOF);
  return got / size;
}

}  // namespace coir::posix

// Output by stdio on pipes, sockets and terminals. What fits into a stream's buffer goes there; where libc
// would write, the fiber does, and waits for the reader. All else, files among it, is libc's own business.
//
// Longer than other files: all of it is about one state, that of glibc's FILE.
//
// Plain threads are kept out as well until a call is over, so that its bytes stay together.
// I1: whenever the fiber may be suspended, what the FILE says is pending is what has not been written: an
// exit() of another fiber loses nothing and repeats nothing.
// I2: libc's own code lets the thread's other fibers walk in (fflush(nullptr), fseek, setvbuf, wide and error
// output): after each wait the stream is looked at anew.
#include "posix/output.hpp"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "posix/close.hpp"
#include "posix/elsewhere.hpp"
#include "posix/files.hpp"
#include "posix/stream_state.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"

extern "C" int __vsnprintf_chk(char*, size_t, int, size_t, const char*, va_list);

namespace coir::posix {
namespace {

using namespace stream;

// A position that libc would have to seek to before it writes: after reading less than was buffered.
bool seeks(const FILE* f) noexcept {
  return f->_IO_read_end != f->_IO_write_base && (f->_flags & appending) == 0;
}

// Whether what is written to the stream is written here; it is then in libc's state for writing.
bool begin(FILE* f) noexcept {
  const int fd = descriptor_of(f);
  if (fd < 0 || (f->_flags & no_writes) != 0) return false;
  call c(fd, "stdio write");
  if (!may_block(c)) return false;
  if ((f->_flags & putting) == 0 || f->_IO_write_base == nullptr) {
    if (f->_IO_read_ptr != f->_IO_read_end || (f->_flags & in_backup) != 0) return false;
    if (sys::real.__overflow(f, EOF) == EOF) return false;  // with nothing pending it writes nothing
  }
  return !seeks(f);
}

void set_start(FILE* f, char* to) noexcept {
  f->_IO_read_base = f->_IO_read_ptr = f->_IO_read_end = f->_IO_write_base = to;
}

void set_empty(FILE* f) noexcept {
  set_start(f, f->_IO_buf_base);
  f->_IO_write_ptr = f->_IO_buf_base;
  const bool passes = (f->_flags & (line_buffered | unbuffered)) != 0;
  f->_IO_write_end = passes ? f->_IO_buf_base : f->_IO_buf_end;
}

// What the stream's buffer holds.
struct buffered_output final : output_source {
  explicit buffered_output(FILE* stream) noexcept : f(stream) {}
  iovec rest() noexcept override { return {f->_IO_write_base, (f->_flags & putting) != 0 ? pending(f) : 0}; }
  void written(std::size_t n) noexcept override {
    set_start(f, f->_IO_write_base + n);
    if (f->_offset >= 0) f->_offset += static_cast<off64_t>(n);
  }
  FILE* f;
};

// What goes past the buffer.
struct direct_output final : output_source {
  direct_output(FILE* stream, const char* bytes, std::size_t n) noexcept : f(stream), from(bytes), left(n) {}
  iovec rest() noexcept override { return {const_cast<char*>(from), left}; }
  void written(std::size_t n) noexcept override {
    from += n;
    left -= n;
    if (f->_offset >= 0) f->_offset += static_cast<off64_t>(n);
  }
  FILE* f;
  const char* from;
  std::size_t left;
};

// Writes all of it. False: an error, which the stream shows.
template <class Source>
bool write_out(Source& source) noexcept {
  while (source.rest().iov_len != 0)
    if (write_some(source.f->_fileno, source) < 0) {
      source.f->_flags |= error_seen;
      return false;
    }
  return true;
}

bool stopped() noexcept {
  return errno == wait::interrupt_errno(*scheduler::existing()->current());
}

// Writes out the buffer. False: an error. As with libc the rest is gone then; but what cancellation or a
// timeout of one fiber has stopped may be the output of others, and stays.
bool drain(FILE* f) noexcept {
  if (pending(f) == 0) return true;
  buffered_output all(f);
  const bool good = write_out(all);
  if ((f->_flags & putting) != 0 && (good || !stopped())) set_empty(f);
  return good;
}

std::size_t room(const FILE* f) noexcept {
  return (f->_flags & unbuffered) != 0 ? 0 : static_cast<std::size_t>(f->_IO_buf_end - f->_IO_write_ptr);
}

void append(FILE* f, const char* from, std::size_t n) noexcept {
  if (n == 0) return;  // there may be no buffer yet
  ::memcpy(f->_IO_write_ptr, from, n);
  f->_IO_write_ptr += n;
}

// How much of these bytes a line-buffered stream writes at once.
std::size_t whole_lines(const FILE* f, const char* from, std::size_t n) noexcept {
  if ((f->_flags & line_buffered) == 0) return 0;
  const void* last = ::memrchr(from, '\n', n);
  return last == nullptr ? 0 : static_cast<std::size_t>(static_cast<const char*>(last) - from) + 1;
}

ssize_t put_rest(FILE* f, const char* from, std::size_t n, ssize_t taken) noexcept;

// I2: after a wait, the rest cannot simply be put into the buffer.
bool changed(const FILE* f, std::size_t left) noexcept {
  return left != 0 && ((f->_flags & putting) == 0 || room(f) < left);
}

// Puts bytes into a stream for which `begin` was true, by libc's rules (_IO_new_file_xsputn): fill the
// buffer, write it out, write whole blocks, keep the rest. Returns how many were taken, or -1 if all were,
// but could not be written out.
ssize_t put(FILE* f, const char* from, std::size_t n) noexcept {
  std::size_t left = n;
  const auto taken = [&] { return static_cast<ssize_t>(n - left); };
  const auto take = [&](std::size_t some) {
    append(f, from, some);
    from += some;
    left -= some;
  };

  const std::size_t fits = room(f);
  const std::size_t lines = n <= fits ? whole_lines(f, from, n) : 0;
  take(lines != 0 ? lines : std::min(fits, n));
  if (left == 0 && lines == 0) return taken();
  if (!drain(f)) return left == 0 ? -1 : taken();

  // An unbuffered one may have a buffer: setvbuf could not write out what it held.
  const bool passes = (f->_flags & unbuffered) != 0;
  const auto block = passes ? 1 : static_cast<std::size_t>(f->_IO_buf_end - f->_IO_buf_base);
  direct_output direct(f, from, left - (block >= 128 ? left % block : 0));
  const bool good = write_out(direct);
  left -= static_cast<std::size_t>(direct.from - from);
  from = direct.from;
  if (!good) return taken();

  if (changed(f, left)) return put_rest(f, from, left, taken());
  if (const std::size_t more = whole_lines(f, from, left); more != 0) {
    take(more);
    if (!drain(f)) return left == 0 ? -1 : taken() - 1;
  }
  if (changed(f, left)) return put_rest(f, from, left, taken());
  take(left);
  return taken();
}

// What is left once the stream has changed. `taken`: before.
ssize_t put_rest(FILE* f, const char* from, std::size_t n, ssize_t taken) noexcept {
  if (!begin(f)) return taken + static_cast<ssize_t>(sys::real.fwrite_unlocked(from, 1, n, f));
  const ssize_t r = put(f, from, n);
  return r < 0 ? r : taken + r;
}

// Puts bytes into the buffer if they just fit in.
bool put_quickly(FILE* f, const char* from, std::size_t n) noexcept {
  if (f->_mode >= 0 || f->_IO_write_end - f->_IO_write_ptr < static_cast<std::ptrdiff_t>(n) ||
      (f->_flags & has_descriptor) == 0)
    return false;
  append(f, from, n);
  return true;
}

int put_one(FILE* f, int value) noexcept {
  const char one = static_cast<char>(value);
  if (put_quickly(f, &one, 1)) return static_cast<unsigned char>(one);
  if (!begin(f)) return sys::real.__overflow(f, static_cast<unsigned char>(one));
  return put(f, &one, 1) == 1 ? static_cast<unsigned char>(one) : EOF;
}

bool put_string(FILE* f, const char* s) noexcept {
  const std::size_t n = ::strlen(s);
  if (put_quickly(f, s, n)) return true;
  if (!begin(f)) return sys::real.fputs_unlocked(s, f) != EOF;
  return put(f, s, n) == static_cast<ssize_t>(n);
}

// What printf writes.
class text {
 public:
  // `flag`: as of the _chk functions; negative: without their checks.
  text(int flag, const char* format, va_list rest) noexcept {
    va_list again, partly;
    va_copy(again, rest);
    va_copy(partly, rest);
    result_ = print(small_, sizeof small_, flag, format, rest);
    size_ = static_cast<std::size_t>(std::max(result_, 0));
    if (result_ >= static_cast<int>(sizeof small_)) {
      bytes_ = large_ = static_cast<char*>(::malloc(size_ + 1));
      if (large_ != nullptr)
        print_again(flag, format, again);
      else
        fail();
    } else if (result_ < 0) {
      print_partly(flag, format, partly);
    }
    va_end(again);
    va_end(partly);
  }
  ~text() { ::free(large_); }
  text(const text&) = delete;
  text& operator=(const text&) = delete;

  const char* bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return size_; }
  int result() const noexcept { return result_; }

 private:
  static int print(char* into, std::size_t size, int flag, const char* format, va_list rest) noexcept {
    return flag < 0 ? ::vsnprintf(into, size, format, rest)
                    : ::__vsnprintf_chk(into, size, flag, size, format, rest);
  }
  // What is printed may have changed meanwhile.
  void print_again(int flag, const char* format, va_list rest) noexcept {
    result_ = print(large_, size_ + 1, flag, format, rest);
    size_ = std::min(size_, static_cast<std::size_t>(std::max(result_, 0)));
    result_ = std::min(result_, static_cast<int>(size_));
  }
  // A conversion that fails leaves what came before it.
  void print_partly(int flag, const char* format, va_list rest) noexcept {
    const int error = errno;
    if (FILE* memory = ::open_memstream(&large_, &size_); memory != nullptr) {
      flag < 0 ? sys::real.vfprintf(memory, format, rest)
               : sys::real.__vfprintf_chk(memory, flag, format, rest);
      sys::real.fclose(memory);
      bytes_ = large_;
    }
    errno = error;
  }
  void fail() noexcept {
    size_ = 0;
    result_ = -1;
  }

  char* bytes_ = small_;
  char* large_ = nullptr;
  std::size_t size_ = 0;
  int result_;
  char small_[1024];
};

int libc_vfprintf(FILE* f, int flag, const char* format, va_list rest) noexcept {
  return flag < 0 ? sys::real.vfprintf(f, format, rest) : sys::real.__vfprintf_chk(f, flag, format, rest);
}

}  // namespace

bool stream::flush(FILE* f) noexcept {
  if ((f->_flags & putting) == 0 || pending(f) == 0) return true;
  if (begin(f)) return drain(f);
  // What libc cannot seek to before it writes it never writes, and nothing is waited for.
  const int fd = descriptor_of(f);
  return fd < 0 || !seeks(f) || sys::raw(SYS_lseek, fd, 0, SEEK_CUR) != -ESPIPE ||
         sys::real.fflush_unlocked(f) == 0;
}

int stream::flush_last(FILE* f) noexcept {
  const stream_lock mine(f, wait::mode::uninterruptible);
  if (flush(f)) return 0;
  const int error = errno;
  set_empty(f);
  return error;
}

size_t fwrite(const void* from, size_t size, size_t count, FILE* f) noexcept {
  const std::size_t n = size * count;
  if (n == 0) return 0;
  const auto* bytes = static_cast<const char*>(from);
  const stream_lock mine(f);
  if (!mine) return 0;
  if (put_quickly(f, bytes, n)) return count;
  if (!begin(f)) return sys::real.fwrite_unlocked(from, size, count, f);
  const ssize_t r = put(f, bytes, n);
  return r < 0 || static_cast<std::size_t>(r) == n ? count : static_cast<std::size_t>(r) / size;
}

int fputs(const char* s, FILE* f) noexcept {
  const stream_lock mine(f);
  if (!mine) return EOF;
  return put_string(f, s) ? 1 : EOF;
}

int puts(const char* s) noexcept {
  FILE* f = stdout;
  const stream_lock mine(f);
  if (!mine) return EOF;
  if (!put_string(f, s) || put_one(f, '\n') == EOF) return EOF;
  return static_cast<int>(std::min<std::size_t>(INT_MAX, ::strlen(s) + 1));
}

int putc(int value, FILE* f) noexcept {
  const stream_lock mine(f);
  if (!mine) return EOF;
  return put_one(f, value);
}

int overflow(FILE* f, int value) noexcept {
  const stream_lock mine(f);
  if (!mine) return EOF;
  if (value == EOF || !begin(f)) return flush(f) ? sys::real.__overflow(f, value) : EOF;
  return put_one(f, value);
}

int fflush(FILE* f) noexcept {
  if (f == nullptr) return flush_all();
  const stream_lock mine(f);
  if (!mine) return EOF;
  return flush(f) ? sys::real.fflush_unlocked(f) : EOF;
}

int vfprintf(FILE* f, int flag, const char* format, va_list rest) noexcept {
  const stream_lock mine(f);
  if (!mine) return -1;
  if (format == nullptr || !begin(f)) return libc_vfprintf(f, flag, format, rest);
  const text t(flag, format, rest);
  if (t.size() != 0 && put(f, t.bytes(), t.size()) != static_cast<ssize_t>(t.size())) return -1;
  return t.result();
}

int vdprintf(int fd, int flag, const char* format, va_list rest) noexcept {
  const text t(flag, format, rest);
  for (std::size_t done = 0; done < t.size();) {
    const ssize_t r = posix::write(fd, t.bytes() + done, t.size() - done);
    if (r < 0) return -1;
    done += static_cast<std::size_t>(r);
  }
  return t.result();
}

namespace {

// The streams that popen made: libc's fclose of one waits for its command.
// Never destroyed: streams are closed until the very end.
class command_streams {
 public:
  void add(FILE* f) noexcept {
    auto* added = new (std::nothrow) entry{f, nullptr};
    if (added == nullptr) return;  // its fclose will make the thread wait
    lock_.lock();
    added->next = first_.load(std::memory_order_relaxed);
    first_.store(added, std::memory_order_relaxed);
    lock_.unlock();
  }
  bool take(const FILE* f) noexcept {
    if (first_.load(std::memory_order_relaxed) == nullptr) return false;
    lock_.lock();
    entry* before = nullptr;
    entry* e = first_.load(std::memory_order_relaxed);
    for (; e != nullptr && e->stream != f; e = e->next) before = e;
    if (e != nullptr && before != nullptr) before->next = e->next;
    if (e != nullptr && before == nullptr) first_.store(e->next, std::memory_order_relaxed);
    lock_.unlock();
    delete e;
    return e != nullptr;
  }
  void forked() noexcept { lock_.unlock(); }

 private:
  struct entry {
    FILE* stream;
    entry* next;
  };
  detail::spin_lock lock_;
  std::atomic<entry*> first_{nullptr};  // who has the stream has also seen its entry
};
constinit command_streams commands;

const bool commands_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] { commands.forked(); }) == 0;

// What is pending goes out while others run; then `end`, which frees the stream, and is told whether it has a
// command.
template <class End>
int flush_and_end(FILE* f, End end) noexcept {
  const int error = flush_last(f);
  const int r = end(about_to_end(f));
  if (error == 0 || r == EOF) return r;
  errno = error;
  return r != 0 ? r : EOF;  // as libc: the status of a command before the loss of what it did not read
}

}  // namespace

bool about_to_end(FILE* f) noexcept {
  const int before = errno;  // there may be no descriptor
  if (const int fd = ::fileno_unlocked(f); fd >= 0) forget(fd);
  errno = before;
  stream_lock::end_mine(f);
  return commands.take(f);
}

FILE* popen(const char* command, const char* mode) noexcept {
  FILE* f = sys::real.popen(command, mode);
  if (f != nullptr) commands.add(f);
  return f;
}

int pclose(FILE* f) noexcept {
  return flush_and_end(f, [f](bool) {
    return elsewhere(
        "pclose", [f] { return sys::real.pclose(f); }, true);
  });
}

int fclose(FILE* f) noexcept {
  return flush_and_end(f, [f](bool has_command) {
    return has_command ? elsewhere(
                             "fclose", [f] { return sys::real.fclose(f); }, true)
                       : sys::real.fclose(f);
  });
}

}  // namespace coir::posix

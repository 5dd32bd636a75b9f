// Input and output, and the names that _FORTIFY_SOURCE makes of them.
#include <errno.h>
#include <sys/random.h>

#include "patch/hook.hpp"
#include "posix/elsewhere.hpp"
#include "posix/files.hpp"
#include "posix/sockets.hpp"
#include "sys/raw.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(io)

extern "C" [[noreturn]] void __chk_fail(void);

namespace {
// The buffer's size as the compiler knew it; libc's own check ends the program the same way.
void check_size(size_t wanted, size_t has) {
  if (__builtin_expect(wanted > has, 0)) __chk_fail();
}
}  // namespace

COIR_HOOK ssize_t read(int fd, void* b, size_t n) {
  return COIR_COOPERATIVE ? posix::read(fd, b, n) : real.read(fd, b, n);
}
COIR_HOOK ssize_t __read_chk(int fd, void* b, size_t n, size_t has) {
  check_size(n, has);
  return read(fd, b, n);
}
COIR_HOOK ssize_t write(int fd, const void* b, size_t n) {
  return COIR_COOPERATIVE ? posix::write(fd, b, n) : real.write(fd, b, n);
}
COIR_HOOK ssize_t readv(int fd, const iovec* v, int n) {
  return COIR_COOPERATIVE ? posix::preadv2(fd, v, n, -1, 0, "readv") : real.readv(fd, v, n);
}
COIR_HOOK ssize_t writev(int fd, const iovec* v, int n) {
  return COIR_COOPERATIVE ? posix::pwritev2(fd, v, n, -1, 0, "writev") : real.writev(fd, v, n);
}

COIR_HOOK ssize_t pread(int fd, void* b, size_t n, off_t at) {
  return COIR_COOPERATIVE ? posix::pread(fd, b, n, at) : real.pread(fd, b, n, at);
}
COIR_HOOK ssize_t pread64(int fd, void* b, size_t n, off64_t at) {
  return pread(fd, b, n, at);
}
COIR_HOOK ssize_t __pread_chk(int fd, void* b, size_t n, off_t at, size_t has) {
  check_size(n, has);
  return pread(fd, b, n, at);
}
COIR_HOOK ssize_t __pread64_chk(int fd, void* b, size_t n, off64_t at, size_t has) {
  return __pread_chk(fd, b, n, at, has);
}
COIR_HOOK ssize_t pwrite(int fd, const void* b, size_t n, off_t at) {
  return COIR_COOPERATIVE ? posix::pwrite(fd, b, n, at) : real.pwrite(fd, b, n, at);
}
COIR_HOOK ssize_t pwrite64(int fd, const void* b, size_t n, off64_t at) {
  return pwrite(fd, b, n, at);
}

// A negative offset other than preadv2's -1 is an error, and preadv knows no -1.
COIR_HOOK ssize_t preadv(int fd, const iovec* v, int n, off_t at) {
  return COIR_COOPERATIVE && at >= 0 ? posix::preadv2(fd, v, n, at, 0, "preadv") : real.preadv(fd, v, n, at);
}
COIR_HOOK ssize_t preadv64(int fd, const iovec* v, int n, off64_t at) {
  return preadv(fd, v, n, at);
}
COIR_HOOK ssize_t preadv2(int fd, const iovec* v, int n, off_t at, int flags) {
  return COIR_COOPERATIVE && at >= -1 ? posix::preadv2(fd, v, n, at, flags, "preadv2")
                                      : real.preadv2(fd, v, n, at, flags);
}
COIR_HOOK ssize_t preadv64v2(int fd, const iovec* v, int n, off64_t at, int flags) {
  return preadv2(fd, v, n, at, flags);
}
COIR_HOOK ssize_t pwritev(int fd, const iovec* v, int n, off_t at) {
  return COIR_COOPERATIVE && at >= 0 ? posix::pwritev2(fd, v, n, at, 0, "pwritev")
                                     : real.pwritev(fd, v, n, at);
}
COIR_HOOK ssize_t pwritev64(int fd, const iovec* v, int n, off64_t at) {
  return pwritev(fd, v, n, at);
}
COIR_HOOK ssize_t pwritev2(int fd, const iovec* v, int n, off_t at, int flags) {
  return COIR_COOPERATIVE && at >= -1 ? posix::pwritev2(fd, v, n, at, flags, "pwritev2")
                                      : real.pwritev2(fd, v, n, at, flags);
}
COIR_HOOK ssize_t pwritev64v2(int fd, const iovec* v, int n, off64_t at, int flags) {
  return pwritev2(fd, v, n, at, flags);
}

COIR_HOOK ssize_t sendfile(int out, int in, off_t* at, size_t n) {
  return COIR_COOPERATIVE ? posix::sendfile(out, in, at, n) : real.sendfile(out, in, at, n);
}
COIR_HOOK ssize_t sendfile64(int out, int in, off64_t* at, size_t n) {
  return sendfile(out, in, at, n);
}
COIR_HOOK ssize_t splice(int in, off64_t* in_at, int out, off64_t* out_at, size_t n, unsigned flags) {
  return COIR_COOPERATIVE ? posix::splice(in, in_at, out, out_at, n, flags)
                          : real.splice(in, in_at, out, out_at, n, flags);
}
COIR_HOOK ssize_t tee(int in, int out, size_t n, unsigned flags) {
  return COIR_COOPERATIVE ? posix::tee(in, out, n, flags) : real.tee(in, out, n, flags);
}
COIR_HOOK ssize_t vmsplice(int fd, const iovec* v, size_t n, unsigned flags) {
  return COIR_COOPERATIVE ? posix::vmsplice(fd, v, n, flags) : real.vmsplice(fd, v, n, flags);
}
COIR_HOOK ssize_t copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t n,
                                  unsigned flags) {
  return COIR_COOPERATIVE ? posix::copy_file_range(in, in_at, out, out_at, n, flags)
                          : real.copy_file_range(in, in_at, out, out_at, n, flags);
}

// eventfd: a read or write of eight bytes.
COIR_HOOK int eventfd_read(int fd, eventfd_t* value) {
  if (!COIR_COOPERATIVE) return real.eventfd_read(fd, value);
  return posix::read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}
COIR_HOOK int eventfd_write(int fd, eventfd_t value) {
  if (!COIR_COOPERATIVE) return real.eventfd_write(fd, value);
  return posix::write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}

// Random bytes make nobody wait but soon after the machine was started.
COIR_HOOK ssize_t getrandom(void* b, size_t n, unsigned flags) {
  if (!COIR_COOPERATIVE) return real.getrandom(b, n, flags);
  const long r = coir::sys::raw(SYS_getrandom, coir::sys::word(b), static_cast<long>(n),
                                static_cast<long>(flags | GRND_NONBLOCK));
  if (r != -EAGAIN || (flags & GRND_NONBLOCK) != 0) return posix::answer(r);
  return posix::elsewhere("getrandom", [=] { return real.getrandom(b, n, flags); });
}
COIR_HOOK int getentropy(void* b, size_t n) {
  if (!COIR_COOPERATIVE || n > 256) return real.getentropy(b, n);
  return getrandom(b, n, 0) == static_cast<ssize_t>(n) ? 0 : real.getentropy(b, n);
}

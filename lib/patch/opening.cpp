// Opening files by libc's names and by stdio's.
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "patch/hook.hpp"
#include "posix/close.hpp"
#include "posix/open.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(files)

namespace {
bool has_mode(int flags) noexcept {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}
}  // namespace

// Of a call whose last named parameter is `flags`: the mode, if the flags say that there is one.
#define COIR_MODE(flags)         \
  mode_t mode = 0;               \
  if (has_mode(flags)) {         \
    va_list rest;                \
    va_start(rest, flags);       \
    mode = va_arg(rest, mode_t); \
    va_end(rest);                \
  }

COIR_HOOK int openat(int directory, const char* path, int flags, ...) {
  COIR_MODE(flags)
  return COIR_COOPERATIVE ? posix::openat(directory, path, flags, mode)
                          : real.openat(directory, path, flags, mode);
}
COIR_HOOK int openat64(int directory, const char* path, int flags, ...) {
  COIR_MODE(flags)
  return openat(directory, path, flags, mode);
}
COIR_HOOK int open(const char* path, int flags, ...) {
  COIR_MODE(flags)
  return COIR_COOPERATIVE ? posix::openat(AT_FDCWD, path, flags, mode) : real.open(path, flags, mode);
}
COIR_HOOK int open64(const char* path, int flags, ...) {
  COIR_MODE(flags)
  return open(path, flags, mode);
}
COIR_HOOK int creat(const char* path, mode_t mode) {
  return open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
COIR_HOOK int creat64(const char* path, mode_t mode) {
  return creat(path, mode);
}

// What _FORTIFY_SOURCE makes of calls without a mode. Where there should be one libc ends the program.
COIR_HOOK int __open_2(const char* path, int flags) {
  return has_mode(flags) ? real.__open_2(path, flags) : open(path, flags);
}
COIR_HOOK int __open64_2(const char* path, int flags) {
  return __open_2(path, flags);
}
COIR_HOOK int __openat_2(int directory, const char* path, int flags) {
  return has_mode(flags) ? real.__openat_2(directory, path, flags) : openat(directory, path, flags);
}
COIR_HOOK int __openat64_2(int directory, const char* path, int flags) {
  return __openat_2(directory, path, flags);
}

COIR_HOOK FILE* fopen(const char* path, const char* mode) {
  return COIR_COOPERATIVE_IN(stdio) ? posix::fopen(path, mode) : real.fopen(path, mode);
}
COIR_HOOK FILE* fopen64(const char* path, const char* mode) {
  return fopen(path, mode);
}
COIR_WRAPPING_HOOK FILE* __wrap_freopen(const char* path, const char* mode, FILE* f) {
  if (COIR_COOPERATIVE_IN(stdio)) return posix::freopen(path, mode, f);
  posix::forget(fileno_unlocked(f));
  return real.freopen(path, mode, f);
}
COIR_HOOK FILE* freopen64(const char* path, const char* mode, FILE* f) {
  return __wrap_freopen(path, mode, f);
}

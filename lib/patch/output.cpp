// Output by stdio, the names that _FORTIFY_SOURCE and the C headers make of it, and its locks.
#include "posix/output.hpp"

#include <stdarg.h>
#include <stdio.h>

#include "patch/hook.hpp"
#include "posix/stream_lock.hpp"

namespace posix = coir::posix;
using coir::sys::real;

COIR_HOOKS_OF(stdio)

COIR_HOOK size_t fwrite(const void* from, size_t size, size_t count, FILE* f) {
  return COIR_COOPERATIVE ? posix::fwrite(from, size, count, f) : real.fwrite(from, size, count, f);
}
COIR_HOOK size_t fwrite_unlocked(const void* from, size_t size, size_t count, FILE* f) {
  return COIR_COOPERATIVE ? posix::fwrite(from, size, count, f) : real.fwrite_unlocked(from, size, count, f);
}
COIR_HOOK int putw(int word, FILE* f) {
  return fwrite(&word, sizeof word, 1, f) == 1 ? 0 : EOF;
}

COIR_HOOK int fputs(const char* s, FILE* f) {
  return COIR_COOPERATIVE ? posix::fputs(s, f) : real.fputs(s, f);
}
COIR_HOOK int fputs_unlocked(const char* s, FILE* f) {
  return COIR_COOPERATIVE ? posix::fputs(s, f) : real.fputs_unlocked(s, f);
}
COIR_HOOK int puts(const char* s) {
  return COIR_COOPERATIVE ? posix::puts(s) : real.puts(s);
}

COIR_HOOK int putc(int value, FILE* f) {
  return COIR_COOPERATIVE ? posix::putc(value, f) : real.putc(value, f);
}
COIR_WRAPPING_HOOK int __wrap__IO_putc(int value, FILE* f) {
  return putc(value, f);
}
COIR_HOOK int fputc(int value, FILE* f) {
  return putc(value, f);
}
COIR_HOOK int putchar(int value) {
  return putc(value, stdout);
}
COIR_HOOK int putc_unlocked(int value, FILE* f) {
  return COIR_COOPERATIVE ? posix::putc(value, f) : real.putc_unlocked(value, f);
}
COIR_HOOK int fputc_unlocked(int value, FILE* f) {
  return putc_unlocked(value, f);
}
COIR_HOOK int putchar_unlocked(int value) {
  return putc_unlocked(value, stdout);
}
COIR_WRAPPING_HOOK int __wrap___overflow(FILE* f, int value) {
  return COIR_COOPERATIVE ? posix::overflow(f, value) : real.__overflow(f, value);
}

// On plain threads too: libc's own would hold the list of streams while it waits for a fiber's turn.
COIR_HOOK int fflush(FILE* f) {
  if (COIR_COOPERATIVE) return posix::fflush(f);
  return f == nullptr && coir::detail::patch_off == 0 ? posix::flush_all() : real.fflush(f);
}
COIR_HOOK int fflush_unlocked(FILE* f) {
  return COIR_COOPERATIVE ? posix::fflush(f) : real.fflush_unlocked(f);
}

// `flag` is that of the _chk functions; these are the plain ones.
COIR_WRAPPING_HOOK int __wrap_vfprintf(FILE* f, const char* format, va_list rest) {
  return COIR_COOPERATIVE ? posix::vfprintf(f, -1, format, rest) : real.vfprintf(f, format, rest);
}
COIR_WRAPPING_HOOK int __wrap___vfprintf_chk(FILE* f, int flag, const char* format, va_list rest) {
  return COIR_COOPERATIVE ? posix::vfprintf(f, flag, format, rest)
                          : real.__vfprintf_chk(f, flag, format, rest);
}
COIR_HOOK int vdprintf(int fd, const char* format, va_list rest) {
  return COIR_COOPERATIVE ? posix::vdprintf(fd, -1, format, rest) : real.vdprintf(fd, format, rest);
}
COIR_WRAPPING_HOOK int __wrap___vdprintf_chk(int fd, int flag, const char* format, va_list rest) {
  return COIR_COOPERATIVE ? posix::vdprintf(fd, flag, format, rest)
                          : real.__vdprintf_chk(fd, flag, format, rest);
}
COIR_HOOK int vprintf(const char* format, va_list rest) {
  return __wrap_vfprintf(stdout, format, rest);
}
COIR_HOOK int __vprintf_chk(int flag, const char* format, va_list rest) {
  return __wrap___vfprintf_chk(stdout, flag, format, rest);
}

// What takes its arguments itself.
#define COIR_VARIADIC(call) \
  va_list rest;             \
  va_start(rest, format);   \
  const int r = call;       \
  va_end(rest);             \
  return r

COIR_HOOK int fprintf(FILE* f, const char* format, ...) {
  COIR_VARIADIC(__wrap_vfprintf(f, format, rest));
}
COIR_HOOK int printf(const char* format, ...) {
  COIR_VARIADIC(__wrap_vfprintf(stdout, format, rest));
}
COIR_HOOK int dprintf(int fd, const char* format, ...) {
  COIR_VARIADIC(vdprintf(fd, format, rest));
}
COIR_HOOK int __fprintf_chk(FILE* f, int flag, const char* format, ...) {
  COIR_VARIADIC(__wrap___vfprintf_chk(f, flag, format, rest));
}
COIR_HOOK int __printf_chk(int flag, const char* format, ...) {
  COIR_VARIADIC(__wrap___vfprintf_chk(stdout, flag, format, rest));
}
COIR_HOOK int __dprintf_chk(int fd, int flag, const char* format, ...) {
  COIR_VARIADIC(__wrap___vdprintf_chk(fd, flag, format, rest));
}

COIR_HOOK void flockfile(FILE* f) noexcept {
  COIR_COOPERATIVE ? posix::flockfile(f) : real.flockfile(f);
}
COIR_HOOK int ftrylockfile(FILE* f) noexcept {
  return COIR_COOPERATIVE ? posix::ftrylockfile(f) : real.ftrylockfile(f);
}
COIR_HOOK void funlockfile(FILE* f) noexcept {
  posix::funlockfile(f);
}

// scanf: by its own names, and by those that the C headers have given it since ISO C99.
#include "posix/scan.hpp"

#include <stdarg.h>
#include <stdio.h>

#include "patch/hook.hpp"

namespace posix = coir::posix;
using coir::sys::real;

COIR_HOOKS_OF(stdio)

namespace {

int scan(FILE* f, posix::scanner libc, const char* format, va_list rest) {
  return COIR_COOPERATIVE ? posix::vfscanf(f, libc, format, rest) : libc(f, format, rest);
}

}  // namespace

// The headers give the plain names to the others, so the names here are the assembler's.
#define COIR_SCAN_HOOKS(id, prefix, v_hook, v_prefix)                                                  \
  COIR_NAMED_HOOK(v_hook, int, id##_vfscanf, (FILE * f, const char* format, va_list rest),             \
                  v_prefix "vfscanf") {                                                                \
    return scan(f, real.id##vfscanf, format, rest);                                                    \
  }                                                                                                    \
  COIR_NAMED_HOOK(COIR_HOOK, int, id##_vscanf, (const char* format, va_list rest), prefix "vscanf") {  \
    return scan(stdin, real.id##vfscanf, format, rest);                                                \
  }                                                                                                    \
  COIR_NAMED_HOOK(COIR_HOOK, int, id##_fscanf, (FILE * f, const char* format, ...), prefix "fscanf") { \
    va_list rest;                                                                                      \
    va_start(rest, format);                                                                            \
    const int r = scan(f, real.id##vfscanf, format, rest);                                             \
    va_end(rest);                                                                                      \
    return r;                                                                                          \
  }                                                                                                    \
  COIR_NAMED_HOOK(COIR_HOOK, int, id##_scanf, (const char* format, ...), prefix "scanf") {             \
    va_list rest;                                                                                      \
    va_start(rest, format);                                                                            \
    const int r = scan(stdin, real.id##vfscanf, format, rest);                                         \
    va_end(rest);                                                                                      \
    return r;                                                                                          \
  }

COIR_SCAN_HOOKS(, "", COIR_HOOK, "")
COIR_SCAN_HOOKS(__isoc99_, "__isoc99_", COIR_WRAPPING_HOOK, "__wrap___isoc99_")

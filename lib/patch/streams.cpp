// Input by stdio, and the names that _FORTIFY_SOURCE makes of it.
#include <stdio.h>

#include "patch/hook.hpp"
#include "posix/elsewhere.hpp"
#include "posix/streams.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(stdio)

extern "C" [[noreturn]] void __chk_fail(void);

COIR_HOOK int getc(FILE* f) {
  return COIR_COOPERATIVE ? posix::getc(f) : real.getc(f);
}
COIR_HOOK int fgetc(FILE* f) {
  return getc(f);
}
COIR_HOOK int getchar(void) {
  return getc(stdin);
}
COIR_HOOK int getc_unlocked(FILE* f) {
  return COIR_COOPERATIVE ? posix::getc(f) : real.fgetc_unlocked(f);
}
COIR_HOOK int fgetc_unlocked(FILE* f) {
  return COIR_COOPERATIVE ? posix::getc(f) : real.fgetc_unlocked(f);
}
COIR_HOOK int getchar_unlocked(void) {
  return fgetc_unlocked(stdin);
}

COIR_HOOK char* fgets(char* into, int size, FILE* f) {
  return COIR_COOPERATIVE ? posix::fgets(into, size, f) : real.fgets(into, size, f);
}
COIR_HOOK char* fgets_unlocked(char* into, int size, FILE* f) {
  return COIR_COOPERATIVE ? posix::fgets(into, size, f) : real.fgets_unlocked(into, size, f);
}
COIR_HOOK char* __fgets_chk(char* into, size_t has, int size, FILE* f) {
  if (size > 0 && static_cast<size_t>(size) > has) __chk_fail();
  return fgets(into, size, f);
}
COIR_HOOK char* __fgets_unlocked_chk(char* into, size_t has, int size, FILE* f) {
  if (size > 0 && static_cast<size_t>(size) > has) __chk_fail();
  return fgets_unlocked(into, size, f);
}

COIR_HOOK ssize_t getdelim(char** line, size_t* room, int end, FILE* f) {
  return COIR_COOPERATIVE ? posix::getdelim(line, room, end, f) : real.getdelim(line, room, end, f);
}
// What the C headers make of getline and getc_unlocked.
COIR_WRAPPING_HOOK ssize_t __wrap___getdelim(char** line, size_t* room, int end, FILE* f) {
  return getdelim(line, room, end, f);
}
COIR_WRAPPING_HOOK int __wrap___uflow(FILE* f) {
  return COIR_COOPERATIVE ? posix::getc(f) : real.__uflow(f);
}
COIR_HOOK ssize_t getline(char** line, size_t* room, FILE* f) {
  return getdelim(line, room, '\n', f);
}

COIR_HOOK size_t fread(void* into, size_t size, size_t count, FILE* f) {
  return COIR_COOPERATIVE ? posix::fread(into, size, count, f) : real.fread(into, size, count, f);
}
COIR_HOOK size_t fread_unlocked(void* into, size_t size, size_t count, FILE* f) {
  return COIR_COOPERATIVE ? posix::fread(into, size, count, f) : real.fread_unlocked(into, size, count, f);
}
COIR_HOOK int getw(FILE* f) {
  int word;
  return fread(&word, sizeof word, 1, f) == 1 ? word : EOF;
}
COIR_HOOK size_t __fread_chk(void* into, size_t has, size_t size, size_t count, FILE* f) {
  size_t bytes;
  if (__builtin_mul_overflow(size, count, &bytes) || bytes > has) __chk_fail();
  return fread(into, size, count, f);
}
COIR_HOOK size_t __fread_unlocked_chk(void* into, size_t has, size_t size, size_t count, FILE* f) {
  size_t bytes;
  if (__builtin_mul_overflow(size, count, &bytes) || bytes > has) __chk_fail();
  return fread_unlocked(into, size, count, f);
}

// Where nobody sees what is typed; on a helper thread.
COIR_WRAPPING_HOOK char* __wrap_getpass(const char* prompt) {
  return COIR_COOPERATIVE ? posix::elsewhere(
                                "getpass", [=] { return real.getpass(prompt); }, true)
                          : real.getpass(prompt);
}

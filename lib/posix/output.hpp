// Output by stdio; see sockets.hpp for what all twins share. The unlocked names of libc mean the same.
#pragma once

#include <stdarg.h>
#include <stdio.h>

namespace coir::posix {

size_t fwrite(const void* from, size_t size, size_t count, FILE* f) noexcept;
int fputs(const char* s, FILE* f) noexcept;
int puts(const char* s) noexcept;
int putc(int value, FILE* f) noexcept;
int overflow(FILE* f, int value) noexcept;  // the buffer is full: what the C headers make of putc_unlocked
int fflush(FILE* f) noexcept;
// (any) fflush(nullptr).
int flush_all();
// `flag`: of the _chk functions; negative: the plain ones.
int vfprintf(FILE* f, int flag, const char* format, va_list rest) noexcept;
int vdprintf(int fd, int flag, const char* format, va_list rest) noexcept;
// Writes out what is pending, and wakes who waits for the descriptor, then closes it.
int fclose(FILE* f) noexcept;
// (any) Before libc's fclose or pclose: wakes who waits for the descriptor, and ends the caller's flockfile.
// Whether the stream is popen's.
bool about_to_end(FILE* f) noexcept;
// (any) libc's own, noted for fclose.
FILE* popen(const char* command, const char* mode) noexcept;
int pclose(FILE* f) noexcept;

}  // namespace coir::posix

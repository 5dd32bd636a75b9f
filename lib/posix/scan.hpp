// scanf; see sockets.hpp for what all twins share.
#pragma once

#include <stdarg.h>
#include <stdio.h>

namespace coir::posix {

// libc's vfscanf, or the one of ISO C99.
using scanner = int (*)(FILE* f, const char* format, va_list rest);
int vfscanf(FILE* f, scanner scan, const char* format, va_list rest) noexcept;

}  // namespace coir::posix

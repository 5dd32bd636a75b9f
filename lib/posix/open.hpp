// Opening files as it behaves on fibers; see sockets.hpp for what all twins share.
#pragma once

#include <stdio.h>
#include <sys/types.h>

namespace coir::posix {

int openat(int directory, const char* path, int flags, mode_t mode) noexcept;
FILE* fopen(const char* path, const char* mode) noexcept;
FILE* freopen(const char* path, const char* mode, FILE* f) noexcept;

}  // namespace coir::posix

// Input by stdio; see sockets.hpp for what all twins share.
#pragma once

#include <stdio.h>

namespace coir::posix {

int getc(FILE* f) noexcept;
char* fgets(char* into, int size, FILE* f) noexcept;
ssize_t getdelim(char** line, size_t* room, int end, FILE* f) noexcept;
size_t fread(void* into, size_t size, size_t count, FILE* f) noexcept;

}  // namespace coir::posix

// coir's own descriptors, out of the way of the program's: it finds the lowest number free, and may close all
// that it does not know.
#pragma once

namespace coir::sys {

// Takes over `fd`, a close-on-exec one that a raw system call made: moves it up, if there is room, and notes
// it. Returns its number, or `fd` if that is an error.
int adopt_fd(long fd) noexcept;
// It is about to be closed; or that, and it is closed.
void disown_fd(int fd) noexcept;
void close_own_fd(int fd) noexcept;
// Any thread.
bool is_own_fd(int fd) noexcept;
// The first of them in first … last; -1 if there is none.
int first_own_fd(unsigned first, unsigned last) noexcept;

}  // namespace coir::sys

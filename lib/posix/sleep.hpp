// Sleeps as they behave on fibers; see sockets.hpp for what all twins share.
#pragma once

#include <time.h>
#include <unistd.h>

namespace coir::posix {

unsigned sleep(unsigned seconds) noexcept;
int usleep(useconds_t microseconds) noexcept;
int nanosleep(const timespec* duration, timespec* left) noexcept;
int clock_nanosleep(clockid_t clock, int flags, const timespec* t, timespec* left) noexcept;
int pause() noexcept;
void yield() noexcept;

}  // namespace coir::posix

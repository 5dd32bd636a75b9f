// Sleeping and yielding.
#include <errno.h>
#include <threads.h>

#include "patch/hook.hpp"
#include "posix/sleep.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(time)

COIR_HOOK unsigned sleep(unsigned seconds) {
  return COIR_COOPERATIVE ? posix::sleep(seconds) : real.sleep(seconds);
}
COIR_HOOK int usleep(useconds_t us) {
  return COIR_COOPERATIVE ? posix::usleep(us) : real.usleep(us);
}
COIR_HOOK int nanosleep(const timespec* t, timespec* left) {
  return COIR_COOPERATIVE ? posix::nanosleep(t, left) : real.nanosleep(t, left);
}
COIR_HOOK int clock_nanosleep(clockid_t clock, int flags, const timespec* t, timespec* left) {
  return COIR_COOPERATIVE ? posix::clock_nanosleep(clock, flags, t, left)
                          : real.clock_nanosleep(clock, flags, t, left);
}
COIR_HOOK int pause(void) {
  return COIR_COOPERATIVE ? posix::pause() : real.pause();
}
COIR_HOOK int thrd_sleep(const timespec* t, timespec* left) {
  if (!COIR_COOPERATIVE) return real.thrd_sleep(t, left);
  const int saved = errno;
  const int r = posix::nanosleep(t, left);
  const int error = errno;
  errno = saved;
  return r == 0 ? 0 : error == EINTR ? -1 : -2;
}
COIR_HOOK int sched_yield(void) noexcept {
  if (!COIR_COOPERATIVE) return real.sched_yield();
  posix::yield();
  return 0;
}
COIR_HOOK void thrd_yield(void) {
  if (COIR_COOPERATIVE)
    posix::yield();
  else
    real.thrd_yield();
}

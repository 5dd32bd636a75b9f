// A queue's descriptor can be polled; a time that has passed keeps the kernel's own call from waiting.
#include "posix/queues.hpp"

#include <errno.h>

#include "posix/patience.hpp"
#include "sys/raw.hpp"

namespace coir::posix {
namespace {

// `make(t)` is the system call with that time.
template <class Make>
long transfer(mqd_t queue, const char* name, direction d, const timespec* until, Make make) noexcept {
  if (until != nullptr && (until->tv_sec < 0 || !limit::valid(*until))) return make(until);
  call c(queue, name);
  if (c.state == nullptr) return make(until);
  const limit given = until != nullptr ? limit(CLOCK_REALTIME, *until) : limit();
  constexpr timespec passed = {0, 0};
  for (;;) {
    const long r = make(&passed);
    if (r != -ETIMEDOUT) {
      charge(c);
      return r;
    }
    if (given.passed()) return r;
    const long w = wait_ready(c, d, given.deadline(c.s), false);
    if (w < 0 && w != -EAGAIN) return w;
  }
}

}  // namespace

ssize_t mq_receive(mqd_t queue, char* message, size_t size, unsigned* priority,
                   const timespec* until) noexcept {
  return answer(transfer(queue, "mq_receive", direction::in, until, [&](const timespec* t) {
    return sys::raw(SYS_mq_timedreceive, queue, sys::word(message), static_cast<long>(size),
                    sys::word(priority), sys::word(t));
  }));
}

int mq_send(mqd_t queue, const char* message, size_t size, unsigned priority,
            const timespec* until) noexcept {
  return static_cast<int>(answer(transfer(queue, "mq_send", direction::out, until, [&](const timespec* t) {
    return sys::raw(SYS_mq_timedsend, queue, sys::word(message), static_cast<long>(size), priority,
                    sys::word(t));
  })));
}

}  // namespace coir::posix

// Ask the kernel without waiting; if there is nothing, wait for the first event on any of the descriptors,
// and ask again. The answers are always the kernel's own, so HUP, ERR and NVAL are as they would be.
#include "posix/multiplex.hpp"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "posix/descriptor.hpp"
#include "posix/signals.hpp"
#include "sys/raw.hpp"
#include "wait/interrupt.hpp"
#include "wait/watch_set.hpp"

namespace coir::posix {
namespace {

long poll_now(pollfd* fds, nfds_t count) noexcept {
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(fds), static_cast<long>(count), sys::word(&none), 0, 8);
}

// Lets a millisecond pass at most, for what cannot be watched.
constexpr base::nanoseconds look_again = 1'000'000;
// And this for what has a hang-up or an error already that does not count: hardly anything comes after it.
constexpr base::nanoseconds look_rarely = 20'000'000;

// The descriptors of a question, and what about them is asked.
struct watched {
  const pollfd* fds;
  std::size_t count;
  // Null: an error and a hang-up always count. Else only where `events` says so, and here is noted, for each,
  // that it has one which does not: a ring would tell of it again and again.
  bool* has_uncounted = nullptr;
};

// Waits until one of them may be ready. 1: ask again. 0: the time is over. -errno otherwise; -EBADF if some
// were closed, after `gone(index)` for each.
template <class Gone>
long wait_any(scheduler& s, const watched& asked, const char* name, base::nanoseconds deadline,
              const std::uint64_t* mask, wait::ending_handlers handlers, Gone gone) noexcept {
  const pollfd* const fds = asked.fds;
  const std::size_t count = asked.count;
  bool* const has_uncounted = asked.has_uncounted;
  if (const int error = wait::interrupt_errno(*s.current())) return -error;
  if (count > 0 && wait::reactor_of(s) == nullptr) return -ENOMEM;
  wait::watch_set watches(count);
  if (!watches.ok()) return -ENOMEM;
  wait::waiter w(s);
  w.ended_by = handlers;
  w.mask = mask;
  bool blind = false, deaf = false;
  for (std::size_t i = 0; i < count; ++i) {
    if (fds[i].fd < 0) continue;
    if (has_uncounted != nullptr && has_uncounted[i]) {
      deaf = true;
      continue;
    }
    const int error = watches.add(s, fds[i].fd, static_cast<std::uint32_t>(fds[i].events) & 0xffff, i, w);
    blind = blind || (error != 0 && error != EPERM);  // EPERM: such a file's answer does not change
  }
  const auto within = [&](base::nanoseconds d) {
    return std::min(deadline, base::add_saturated(s.now(), d));
  };
  const base::nanoseconds until = blind ? within(look_again) : deaf ? within(look_rarely) : deadline;
  // A wait for nothing is one for a signal.
  if (watches.empty()) s.external_wait(1);
  const wait::outcome o = wait::park_until(w, name, until);
  if (watches.empty()) s.external_wait(-1);
  watches.stop(s, name);
  if (watches.closed(gone)) return -EBADF;
  if (o == wait::outcome::timed_out) return until == deadline ? 0 : 1;
  if (const int error = wait::error_of(o, *s.current())) return -error;
  if (watches.failed()) {
    wait::waiter brief(s);
    wait::park_until(brief, name, within(look_again));
  }
  if (has_uncounted != nullptr && count > 0 && wait::reactor_of(s)->completes_io())
    watches.ended([&](std::size_t i, long result) {
      has_uncounted[i] = has_uncounted[i] || (result > 0 && (result & fds[i].events) == 0);
    });
  return 1;
}

// Calls `ask()` until it finds something or the time is over. `of` is what to wait for in between, `mask`
// the signal mask meanwhile, or null.
template <class Ask, class Gone>
long ask_and_wait(const char* name, const watched& of, base::nanoseconds limit, const sigset_t* mask, Ask ask,
                  Gone gone, wait::ending_handlers handlers = wait::ending_handlers::all) noexcept {
  scheduler& s = *scheduler::existing();
  s.charge();
  long found = ask();
  if (found != 0) return found;
  if (lets_signal_through(mask)) return -EINTR;
  if (limit <= 0) {
    s.yield_any();
    return ask();
  }
  const base::nanoseconds deadline = limit == base::never ? base::never : base::add_saturated(s.now(), limit);
  const masked during(mask);
  for (;;) {
    const long r = wait_any(s, of, name, deadline, during.mask(), handlers, gone);
    if (r < 0) return r;
    found = ask();
    if (found != 0 || r == 0 || s.now() >= deadline) return found;
  }
}

// poll: what was closed while it waited is POLLNVAL, and is not looked at again.
long poll_for(const char* name, pollfd* fds, nfds_t count, base::nanoseconds limit,
              const sigset_t* mask) noexcept {
  constexpr short gone_mark = POLLNVAL;
  const long r = ask_and_wait(
      name, {fds, count}, limit, mask, [&] { return poll_now(fds, count); },
      [&](std::size_t index) { fds[index].revents = gone_mark; });
  if (r != -EBADF) return r;
  const std::unique_ptr<pollfd[]> rest(new (std::nothrow) pollfd[count]);
  if (rest != nullptr) {
    for (nfds_t i = 0; i < count; ++i)
      rest[i] = {fds[i].revents == gone_mark ? -1 : fds[i].fd, fds[i].events, 0};
    poll_now(rest.get(), count);
  }
  long found = 0;
  for (nfds_t i = 0; i < count; ++i) {
    if (fds[i].revents != gone_mark) fds[i].revents = rest != nullptr ? rest[i].revents : short{0};
    found += fds[i].revents != 0;
  }
  return found;
}

base::nanoseconds limit_of(const timespec* t) noexcept {
  return t == nullptr ? base::never : base::from_timespec(*t);
}
base::nanoseconds limit_of(int timeout_ms) noexcept {
  return timeout_ms < 0 ? base::never : base::nanoseconds{timeout_ms} * 1'000'000;
}
bool valid(const timespec* t) noexcept {
  return t == nullptr || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1'000'000'000);
}

// The three sets of a select, and the same question to poll's mechanism.
struct select_sets {
  int count;
  fd_set* user[3];
  static constexpr std::size_t word_bits = 8 * sizeof(long);

  std::size_t bytes() const noexcept {
    return (static_cast<std::size_t>(count) + word_bits - 1) / word_bits * sizeof(long);
  }
  static bool has(const fd_set* set, int fd) noexcept {
    const auto* words = reinterpret_cast<const unsigned long*>(set);  // may be larger than FD_SETSIZE
    return set != nullptr &&
           (words[static_cast<std::size_t>(fd) / word_bits] >> (static_cast<std::size_t>(fd) % word_bits) &
            1) != 0;
  }
  short events(int fd) const noexcept {
    return static_cast<short>((has(user[0], fd) ? POLLIN | POLLERR | POLLHUP : 0) |
                              (has(user[1], fd) ? POLLOUT | POLLERR : 0) | (has(user[2], fd) ? POLLPRI : 0));
  }
};

// How many descriptor numbers the process has room for now: the kernel looks at no more of a set, however
// large the caller says it is, and what lies behind may be no set at all.
int most_numbers() noexcept {
  char text[4096];
  const long fd = sys::raw(SYS_openat, AT_FDCWD, sys::word("/proc/self/status"), O_RDONLY | O_CLOEXEC);
  const long n = fd < 0 ? -1 : sys::raw(SYS_read, fd, sys::word(text), sizeof text - 1);
  if (fd >= 0) sys::raw(SYS_close, fd);
  text[std::max(n, 0L)] = '\0';
  const char* found = std::strstr(text, "FDSize:");
  return found != nullptr ? std::atoi(found + 7) : FD_SETSIZE;
}

long select_for(select_sets sets, base::nanoseconds limit, const sigset_t* mask, const char* name) noexcept {
  if (sets.count < 0) return -EINVAL;
  if (sets.count > FD_SETSIZE) sets.count = std::min(sets.count, most_numbers());
  const std::size_t bytes = sets.bytes();
  const std::unique_ptr<char[]> copy(new (std::nothrow) char[3 * bytes + 1]);
  if (copy == nullptr) return -ENOMEM;
  for (int i = 0; i < 3; ++i)
    if (sets.user[i] != nullptr)
      std::copy_n(reinterpret_cast<char*>(sets.user[i]), bytes,
                  copy.get() + static_cast<std::size_t>(i) * bytes);
  select_sets wanted = sets;
  for (int i = 0; i < 3; ++i)
    if (sets.user[i] != nullptr)
      wanted.user[i] = reinterpret_cast<fd_set*>(copy.get() + static_cast<std::size_t>(i) * bytes);

  std::size_t used = 0;
  for (int fd = 0; fd < sets.count; ++fd) used += wanted.events(fd) != 0;
  const std::unique_ptr<pollfd[]> fds(new (std::nothrow) pollfd[used + 1]);
  const std::unique_ptr<bool[]> uncounted(new (std::nothrow) bool[used + 1]());
  if (fds == nullptr || uncounted == nullptr) return -ENOMEM;
  used = 0;
  for (int fd = 0; fd < sets.count; ++fd)
    if (wanted.events(fd) != 0) fds[used++] = {fd, wanted.events(fd), 0};

  const auto ask = [&]() -> long {
    for (int i = 0; i < 3; ++i)
      if (sets.user[i] != nullptr)
        std::copy_n(reinterpret_cast<char*>(wanted.user[i]), bytes, reinterpret_cast<char*>(sets.user[i]));
    timespec none = {};
    return sys::raw(SYS_pselect6, sets.count, sys::word(sets.user[0]), sys::word(sets.user[1]),
                    sys::word(sets.user[2]), sys::word(&none), 0);
  };
  const long r = ask_and_wait(name, {fds.get(), used, uncounted.get()}, limit, mask, ask, [](std::size_t) {});
  if (r < 0)  // an error leaves the sets as they were
    for (int i = 0; i < 3; ++i)
      if (sets.user[i] != nullptr)
        std::copy_n(reinterpret_cast<char*>(wanted.user[i]), bytes, reinterpret_cast<char*>(sets.user[i]));
  return r;
}

long epoll_for(int fd, epoll_event* events, int count, base::nanoseconds limit,
               const sigset_t* mask) noexcept {
  const pollfd self = {fd, POLLIN, 0};
  const auto ask = [&]() -> long { return sys::raw(SYS_epoll_pwait, fd, sys::word(events), count, 0, 0, 8); };
  return ask_and_wait(
      "epoll_wait", {&self, 1}, limit, mask, ask, [](std::size_t) {}, wait::ending_handlers::all_and_stops);
}

}  // namespace

int poll(pollfd* fds, nfds_t count, int timeout_ms) noexcept {
  return static_cast<int>(answer(poll_for("poll", fds, count, limit_of(timeout_ms), nullptr)));
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept {
  if (!valid(timeout)) return static_cast<int>(answer(-EINVAL));
  return static_cast<int>(answer(poll_for("ppoll", fds, count, limit_of(timeout), mask)));
}

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) noexcept {
  if (timeout == nullptr)
    return static_cast<int>(
        answer(select_for({count, {readable, writable, exceptional}}, base::never, nullptr, "select")));
  const auto microseconds = static_cast<std::int32_t>(timeout->tv_usec);  // of libc's, too
  if (timeout->tv_sec < 0 || microseconds < 0) return static_cast<int>(answer(-EINVAL));
  scheduler& s = *scheduler::existing();
  const base::nanoseconds limit =
      base::add_saturated(base::from_timespec({timeout->tv_sec, 0}), base::nanoseconds{microseconds} * 1000);
  const base::nanoseconds start = s.now();
  const long r = select_for({count, {readable, writable, exceptional}}, limit, nullptr, "select");
  const base::nanoseconds left = std::max<base::nanoseconds>(limit - (s.now() - start), 0);
  timeout->tv_sec = static_cast<time_t>(left / 1'000'000'000);
  timeout->tv_usec = static_cast<suseconds_t>(left % 1'000'000'000 / 1000);
  return static_cast<int>(answer(r));
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) noexcept {
  if (!valid(timeout)) return static_cast<int>(answer(-EINVAL));
  return static_cast<int>(
      answer(select_for({count, {readable, writable, exceptional}}, limit_of(timeout), mask, "pselect")));
}

int epoll_pwait(int fd, epoll_event* events, int count, int timeout_ms, const sigset_t* mask) noexcept {
  return static_cast<int>(answer(epoll_for(fd, events, count, limit_of(timeout_ms), mask)));
}

int epoll_pwait2(int fd, epoll_event* events, int count, const timespec* timeout,
                 const sigset_t* mask) noexcept {
  if (!valid(timeout)) return static_cast<int>(answer(-EINVAL));
  return static_cast<int>(answer(epoll_for(fd, events, count, limit_of(timeout), mask)));
}

}  // namespace coir::posix

#include "posix/close.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

#include "posix/descriptor.hpp"
#include "posix/limits.hpp"
#include "posix/offload.hpp"
#include "posix/signals.hpp"
#include "posix/sockets.hpp"
#include "sys/own_fds.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/forget.hpp"

namespace coir::posix {
namespace {

std::atomic<long> process{0};

const bool process_known = [] {
  const auto note = [] { process.store(sys::raw(SYS_getpid), std::memory_order_relaxed); };
  note();
  return ::pthread_atfork(nullptr, nullptr, note) == 0;
}();

// A close that waits until the peer has taken what was sent (SO_LINGER): of a connection only, and not of
// what never waits for a peer.
bool lingers(int fd) noexcept {
  if (__builtin_expect(!linger_used.load(std::memory_order_relaxed), 1) || detail::cooperative == 0 ||
      in_handler() || in_vfork_child())
    return false;
  linger l = {};
  socklen_t size = sizeof l;
  if (sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, sys::word(&l), sys::word(&size)) != 0 ||
      l.l_onoff == 0 || l.l_linger <= 0)
    return false;
  int domain = 0;
  size = sizeof domain;
  if (sys::raw(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, sys::word(&domain), sys::word(&size)) == 0 &&
      domain == AF_UNIX)
    return false;
  unsigned char state = 0;
  size = sizeof state;
  if (sys::raw(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, sys::word(&state), sys::word(&size)) != 0)
    return true;  // another protocol: who knows
  return state != TCP_CLOSE && state != TCP_LISTEN && state != TCP_SYN_SENT;
}

}  // namespace

std::atomic<bool> linger_used{false};

bool in_vfork_child() noexcept {
  const long own = process.load(std::memory_order_relaxed);
  return own != 0 && own != sys::raw(SYS_getpid);
}

void forget(int fd) noexcept {
  reactor::fd_owner* owner = wait::owner_of(fd);
  if (owner == nullptr) return;
  owner->made_here.store(0, std::memory_order_relaxed);
  // A signal handler may have interrupted coir at work on the descriptor's state: that is void, and who waits
  // is left alone.
  if (in_handler() && !in_vfork_child()) owner->generation.fetch_add(1, std::memory_order_acq_rel);
  if (in_handler()) return;
  if (owner->users.load(std::memory_order_acquire) == 0 || in_vfork_child()) return;
  wait::forget(fd, *owner);
}

void begins_anew(int fd) noexcept {
  if (reactor::fd_owner* owner = wait::owner_of(fd);
      owner != nullptr && (owner->users.load(std::memory_order_acquire) != 0 ||
                           owner->made_here.load(std::memory_order_relaxed) != 0))
    forget(fd);
}

void forget_range(unsigned first, unsigned last) noexcept {
  const auto seen = static_cast<unsigned>(reactor::descriptors_seen.load(std::memory_order_relaxed));
  for (unsigned fd = first; fd < seen && fd <= last; ++fd)
    if (!sys::is_own_fd(static_cast<int>(fd))) forget(static_cast<int>(fd));
}

long close_raw(int fd) noexcept {
  if (__builtin_expect(sys::is_own_fd(fd), 0)) return -EBADF;
  const bool waits = lingers(fd);
  forget(fd);
  const auto plain = [&]() -> long { return sys::raw(SYS_close, fd); };
  return __builtin_expect(waits, 0) ? offload_call(*scheduler::existing(), "close", plain, true) : plain();
}

int close(int fd) {
  if (__builtin_expect(sys::is_own_fd(fd) || lingers(fd), 0)) return static_cast<int>(answer(close_raw(fd)));
  forget(fd);
  return sys::real.close(fd);
}

int close_range(unsigned first, unsigned last, int flags) noexcept {
  if ((static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) != 0 || first > last)
    return sys::real.close_range(first, last, flags);
  forget_range(first, last);
  // All but coir's own.
  for (;;) {
    const int own = sys::first_own_fd(first, last);
    if (own < 0) return sys::real.close_range(first, last, flags);
    const auto number = static_cast<unsigned>(own);
    if (number > first && sys::real.close_range(first, number - 1, flags) != 0) return -1;
    if (number == last) return 0;
    first = number + 1;
  }
}

void closefrom(int first) noexcept {
  posix::close_range(first < 0 ? 0 : static_cast<unsigned>(first), ~0U, 0);
}

int dup2(int from, int to) noexcept {
  if (__builtin_expect(sys::is_own_fd(to), 0) && !in_vfork_child()) return static_cast<int>(answer(-EBUSY));
  if (from != to && sys::raw(SYS_fcntl, from, F_GETFD) >= 0) forget(to);
  return sys::real.dup2(from, to);
}

int dup3(int from, int to, int flags) noexcept {
  if (__builtin_expect(sys::is_own_fd(to), 0) && !in_vfork_child()) return static_cast<int>(answer(-EBUSY));
  if (from != to && sys::raw(SYS_fcntl, from, F_GETFD) >= 0) forget(to);
  return sys::real.dup3(from, to, flags);
}

namespace {

// The latest change of flags_epoch by one of the numbers that are equal modulo their count; and by a socket
// that has, or had, several numbers, so that it may be any.
constexpr unsigned change_slots = 256;
std::atomic<std::uint32_t> changes[change_slots];
std::atomic<std::uint32_t> change_of_any{0};

bool may_have_several_numbers(int fd) noexcept {
  const reactor::fd_owner* owner = wait::owner_of(fd);
  if (owner != nullptr && owner->made_here.load(std::memory_order_relaxed) ==
                              reactor::private_epoch.load(std::memory_order_relaxed))
    return false;
  struct stat st;
  return ::fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

}  // namespace

void flags_changed(int fd) noexcept {
  if (fd < 0) return;
  const std::uint32_t epoch = reactor::flags_epoch.fetch_add(1, std::memory_order_acq_rel) + 1;
  changes[static_cast<unsigned>(fd) % change_slots].store(epoch, std::memory_order_release);
  if (may_have_several_numbers(fd)) change_of_any.store(epoch, std::memory_order_release);
}

bool flags_changed_since(int fd, std::uint32_t epoch) noexcept {
  const auto later = [&](const std::atomic<std::uint32_t>& change) {
    return static_cast<std::int32_t>(change.load(std::memory_order_acquire) - epoch) > 0;
  };
  return later(changes[static_cast<unsigned>(fd) % change_slots]) || later(change_of_any);
}

long note_control(int fd, int command, long r) noexcept {
  if (command == F_SETFL) flags_changed(fd);
  if (r >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) begins_anew(static_cast<int>(r));
  return r;
}

void note_option(int fd, int level, int name, const void* value, bool done) noexcept {
  constexpr int tcp_ulp = 31, tcp_fastopen_connect = 30;
  if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
    if (done) note_limit(fd, name, static_cast<const timeval*>(value)->tv_sec);
    flags_changed(fd);
  }
  if (level == SOL_SOCKET && name == SO_LINGER) linger_used.store(true, std::memory_order_relaxed);
  if (level == SOL_SOCKET && name == SO_RCVLOWAT) low_marks.store(true, std::memory_order_relaxed);
  if (level == IPPROTO_TCP && name == tcp_ulp) not_plain_tcp(fd);
  if (level == IPPROTO_TCP && name == tcp_fastopen_connect)
    late_connects.store(true, std::memory_order_relaxed);
}

void not_plain_tcp(int fd) noexcept {
  flags_changed(fd);
  if (scheduler* s = scheduler::existing()) {
    if (fd_state* state = s->fds().find(fd)) {
      state->kind = fd_kind::socket;
      state->drained = false;
    }
  }
}

}  // namespace coir::posix

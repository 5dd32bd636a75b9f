// One wait of one fiber on one descriptor, as a reactor sees it.
//
// Lives in the frame of whoever waits. States: fresh ──start──▶ started ──▶ done (result set).
// I1: between `start` and `done` the operation stays where it is: a kernel may write to it and to its buffer.
// I2: `complete` is called at most once, on the reactor's own thread.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "base/list.hpp"

namespace coir::reactor {

struct fd_state;

enum class op_kind : std::uint8_t {
  none,     // no reactor has it: start says EOPNOTSUPP
  poll,     // readiness for `events`; result: the events that hold
  recv,     // one recv(2) of buffer, size, flags; result as recv
  recvmsg,  // one recvmsg(2) of message, flags
  read,     // one pread(2): at a file's own position io_uring does not take the kernel's lock on that
  write,    // one pwrite(2)
  accept,   // one accept4(2) of message's address; flags
  connect,  // one connect(2) to buffer, size
};

struct operation : base::list_node {
  op_kind kind = op_kind::poll;
  bool exclusive = false;  // of several, one is to be woken per event (readers, acceptors)
  bool returns = false;    // was woken and found nothing: its place is before those that came later
  bool started = false;
  bool done = false;
  bool closed = false;      // its descriptor was closed: a cancelled result means EBADF
  bool poll_first = false;  // known not to be ready: do not even try before waiting
  bool by_edge = false;     // an epoll set has it; set by start
  bool ending = false;      // io_uring is asked to end it
  bool suspect = false;     // begun on what is remembered of the number, and not checked yet
  bool stale = false;       // it proved wrong: a cancelled result means ESTALE
  bool behind = false;      // io_uring: the kernel gets it when those before it are over
  std::uint8_t moment = 0;  // of the beginning, if suspect; set by start
  int fd = -1;
  std::uint32_t generation = 0;   // of the descriptor; set by start
  std::uint32_t flags_epoch = 0;  // when what it holds was asked, if suspect
  std::uint32_t events = 0;       // EPOLLIN, EPOLLOUT, EPOLLPRI …
  int flags = 0;
  void* buffer = nullptr;
  std::size_t size = 0;
  std::int64_t offset = 0;
  ::msghdr* message = nullptr;
  ::sockaddr* address = nullptr;
  ::socklen_t* address_size = nullptr;
  long result = 0;  // or -errno; -ESTALE: what it holds proved wrong
  fd_state* state = nullptr;

  // Wakes who waits. False: that one had already been woken by something else, so an exclusive event is still
  // to be given to another.
  bool (*complete)(operation* self) noexcept = nullptr;
  // Of a suspect: whether what its caller remembers holds. Null: nothing.
  bool (*holds)(const operation& self) noexcept = nullptr;
};

// Of many operations that complete at once most have left the cache: asks for one that is soon to be done,
// and the frame of who waits, in which it lies.
inline void prefetch(const operation* op) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(op);  // perhaps none: only a hint
  for (unsigned line = 0; line < 4; ++line)
    __builtin_prefetch(reinterpret_cast<const void*>(at + 64 * line), 1);
}

}  // namespace coir::reactor

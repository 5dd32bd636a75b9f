// What a descriptor is and whether its calls may wait, asked from the kernel and remembered only while that
// is safe.
//
// Called by the twins of this layer, on the fiber's own thread.
#pragma once

#include <errno.h>
#include <sys/epoll.h>

#include "wait/io.hpp"

namespace coir::posix {

using reactor::fd_kind;
using reactor::fd_state;
using sched::scheduler;

enum class direction : std::uint8_t { in = EPOLLIN, out = EPOLLOUT };

// A call on one descriptor by the current fiber.
//
// Of several that wait for the same an event wakes one (operation::exclusive). `woken_for` is that wake-up
// while it is the call's: its end, whichever that is, passes it on to the next, unless nothing is left.
// I1: before the fiber waits again, for whatever it be, it has used the wake-up up or passed it on.
// Rejected: waking all (every connection would wake every acceptor); telling apart what concerns all (an end,
// an error) from what one takes: the kernel's events do not.
struct call {
  scheduler& s;
  int fd;
  const char* name;
  fd_state* state;              // null: unknown to coir, the plain call is to be made
  std::uint32_t generation;     // the owner of the number that the call was made for
  bool ends_by_signal = false;  // also by a handler with SA_RESTART
  std::uint8_t woken_for = 0;   // directions

  call(int descriptor, const char* what) noexcept
      : s(*scheduler::existing()),
        fd(descriptor),
        name(what),
        state(s.fds().get(descriptor)),
        generation(state != nullptr ? state->generation : 0) {
    if (__builtin_expect(state == nullptr, 0)) s.charge();  // it will not wait
  }
  ~call() { leave_to_others(); }
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  // The kernel said that there is nothing more for anybody.
  void took_all(direction d) noexcept {
    woken_for = static_cast<std::uint8_t>(woken_for & ~static_cast<unsigned>(d));
  }
  void leave_to_others() noexcept {
    if (__builtin_expect(woken_for != 0, 0)) pass_on();
  }

 private:
  void pass_on() noexcept;
};

// Whether this thread's reactor completes whole operations (io_uring); false also if there is none.
bool completes_io(call& c) noexcept;

// fstat and friends.
fd_kind ask_kind(call& c) noexcept;
// The same, once per generation.
inline fd_kind kind_of(call& c) noexcept {
  const fd_kind known = c.state->kind;
  return __builtin_expect(known != fd_kind::unknown, 1) ? known : ask_kind(c);
}
// What is remembered of the number proved to be of another file: all of it is asked anew.
void ask_anew(const call& c) noexcept;
// Whether it is of the kind that is remembered; if not, asks anew.
bool kind_holds(call& c) noexcept;
// Whether a call that sockets have, made as the kind is remembered to be one, said that it is none: then asks
// anew. `before`: errno before that call.
inline bool proved_no_socket(const call& c, long r, int before) noexcept {
  if (__builtin_expect(r != -1 || errno != ENOTSOCK, 1)) return false;
  errno = before;
  ask_anew(c);
  return true;
}
// The call is one of sockets, and goes on: it must be one.
inline void must_be_socket(const call& c) noexcept {
  if (__builtin_expect(c.state->kind > fd_kind::socket, 0)) ask_anew(c);
}

// Whether what is written to it goes to a disk; asked anew. False also of what is no descriptor.
bool on_disk(int fd) noexcept;
// Whether a terminal has nothing to wait for until its output is out; so if it is none.
bool drains_at_once(int fd) noexcept;

// The kernel said EAGAIN to a call that did not want to wait. 0: the user's call is to wait, until `deadline`
// (SO_RCVTIMEO, SO_SNDTIMEO, or never). EAGAIN: the description is the user's own non-blocking one, or the
// limit is a negative one.
int may_wait(call& c, direction d, base::nanoseconds& deadline) noexcept;

// Whether a read of this descriptor is sure to find nothing, so that trying first would be a wasted system
// call. Only if its flags are known, and they let it wait.
bool known_drained(call& c) noexcept;

// A read returned `got` of `wanted` bytes: if that was all there was, the next one need not try.
inline void note_read(call& c, long got, std::size_t wanted) noexcept {
  constexpr long much = 8192;
  c.state->bulk = got >= much;
  if (c.state->kind != fd_kind::tcp) return;
  c.state->drained = static_cast<std::size_t>(got) < wanted && got > 0 && !c.state->hung;
}

// Whether the number still names the file that the call was made for. To be asked after every wait before the
// number is used again: it may have been closed and opened meanwhile.
bool still_open(const call& c) noexcept;

// Whether a TCP connection has an error to tell that the next call takes away. A call that has transferred
// something leaves it to the one after it.
bool was_reset(call& c) noexcept;

// Whether nothing will be received any more: a blocking receive returns 0 then, also from a datagram socket,
// which says EAGAIN to whom does not wait.
bool was_shut_down(const call& c) noexcept;

// Before `op` waits for `d`: what it waits on memory for is checked soon. After it ended with -ESTALE: 0, or
// -EAGAIN or -EBADF if the call is not to wait on.
void trust(call& c, reactor::operation& op, direction d) noexcept;
long ask_again(call& c, direction d) noexcept;

// Waits until the descriptor is ready for `d`; 0 or -errno (wait::perform), -EPERM where that cannot be
// waited for, -EBADF if it was closed. `exclusive`: of several waiters one is to be woken. Who waits for the
// same again has found nothing.
long wait_ready(call& c, direction d, base::nanoseconds deadline, bool exclusive = true) noexcept;

// Whether poll says so now.
bool ready_now(int fd, direction d) noexcept;

// Lets a little time pass where no event will tell; as wait_ready. For what poll calls ready and is not.
long nap(call& c, base::nanoseconds deadline) noexcept;

// Sets errno and returns -1 for a negative kernel answer.
long answer(long result) noexcept;

// After a call that did not wait: lets others run now and then, so that a fiber whose calls never wait does
// not keep the thread for itself.
inline void charge(call& c) noexcept {
  c.s.charge();
}

}  // namespace coir::posix

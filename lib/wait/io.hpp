// Waiting for one operation of a reactor.
#pragma once

#include "reactor/operation.hpp"
#include "wait/waiter.hpp"

namespace coir::wait {

struct io_wait {
  const char* reason;                        // the call, for dumps
  base::nanoseconds deadline = base::never;  // on the scheduler's clock
  bool ends_by_signal = false;               // EINTR also if the handler has SA_RESTART, and after a stop
};

struct waiting_operation : reactor::operation {
  waiter* who = nullptr;  // null: nobody waits for it any more

  waiting_operation() noexcept {
    complete = [](reactor::operation* self) noexcept {
      waiter* w = static_cast<waiting_operation*>(self)->who;
      if (w == nullptr || !w->claim(outcome::notified)) return false;
      w->wake();
      return true;
    };
  }
};

// Starts `op` (kind, fd, state and arguments are set) and parks until it is over. Returns its result, or
// -errno: -EAGAIN at the deadline, -ECANCELED or -ETIMEDOUT when interrupted, -EINTR after a signal, -EBADF
// when the descriptor was closed, and what reactor::start returns. Whatever it returns, the kernel no longer
// knows `op`; neither a result nor an error that it had come to is lost.
long perform(sched::scheduler& s, waiting_operation& op, const io_wait& how) noexcept;

// The reactor of `s`, or null if none can be made.
reactor::reactor* reactor_of(sched::scheduler& s) noexcept;

}  // namespace coir::wait

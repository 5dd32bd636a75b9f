// The kernel boundary: six calls, four implementations (epoll, io_uring, one for want of descriptors, manual
// for tests).
//
// A reactor belongs to one thread, which alone calls it, but for `wake` and `forget_elsewhere`.
#pragma once

#include <memory>

#include "base/clock.hpp"
#include "reactor/fd_table.hpp"
#include "reactor/operation.hpp"

namespace coir::reactor {

class reactor {
 public:
  virtual ~reactor() = default;

  // Begins `op`; op->state is set. Returns 0, or an errno: EPERM for a file that cannot be waited for,
  // EOPNOTSUPP for a kind this reactor does not have, ENOSPC where only time can tell of an event. It may not
  // complete before `wait` is called.
  virtual int start(operation& op) noexcept = 0;

  // Ends `op` early. True: it is over, and `complete` will not be called. False: the kernel still owns it; it
  // will complete soon, perhaps with success.
  virtual bool stop(operation& op) noexcept = 0;

  // A descriptor's owner of generation `old` goes: completes its operations with -EBADF, in this call or soon
  // after it, and drops its registrations. `still_open`: the number still names the old file; else another
  // thread has closed it by now, after `forget_elsewhere`.
  virtual void forget(int fd, fd_state& state, std::uint32_t old, bool still_open) noexcept = 0;
  // Any thread: drops the registrations of a descriptor that is about to be closed there.
  virtual void forget_elsewhere(int fd) noexcept = 0;

  // Only where `completes_io` is false. Who was woken for `events` leaves some for the others: wakes one
  // more.
  virtual void nudge(fd_state&, std::uint32_t) noexcept {}

  // Asks the kernel whether what `op`, a suspect, was begun on is true. If not, waits for it anew or, where
  // it `holds` more than that, ends it with -ESTALE.
  virtual void check(operation&) noexcept {}

  // Submits what was started, then waits until something completed, `wake` was called, or `until`. A time in
  // the past: looks, and does not wait. True if a signal handler ran instead.
  virtual bool wait(base::nanoseconds until) noexcept = 0;

  // Any thread, any signal handler: makes a present or the next `wait` return.
  virtual void wake() noexcept = 0;

  // What polls as readable when `wait` would find something; -1: nothing does.
  virtual int descriptor() const noexcept { return -1; }

  virtual const char* name() const noexcept = 0;

  // Only where `stopgap`: whether another reactor might be had now.
  virtual bool wants_successor() noexcept { return false; }
  // Starts at `to` what was started here and is not done.
  virtual void hand_over(reactor&) noexcept {}

  // The process ends: cancels what the kernel still does with descriptors, and waits for that, since the
  // kernel by itself would hold them beyond the end. What is cancelled is never completed; where `renew` may
  // follow it is kept, and nothing may be done with the reactor until then.
  virtual void run_down(bool keeps) noexcept { static_cast<void>(keeps); }
  // The process does not end: begins what was kept anew.
  virtual void renew() noexcept {}
  // In the child of a fork, of a thread that is not there: gives its descriptors back, which would keep what
  // it waits for open as long as the child lives.
  virtual void leave_in_child() noexcept {}

  // Whether it stands in for another until there are descriptors for that.
  bool stopgap() const noexcept { return stopgap_; }
  // Whether it has more kinds of operation than poll.
  bool completes_io() const noexcept { return completes_io_; }
  // Operations started and not done.
  unsigned pending() const noexcept { return pending_; }
  // Whether `wait` has work in any case: operations, or submissions not yet made.
  bool busy() const noexcept { return pending_ != 0 || unsubmitted_ != 0; }

 protected:
  // A suspect's age is told in moments, counted while there are any. It is checked once, in its second or
  // third. Those of a state that has held a check are long ones: else each wait of a connection that is used
  // a few times a second would cost three system calls more.
  static constexpr base::nanoseconds moment_length = 8'000'000, long_moment = 64 * moment_length;

  // A suspect `op` was begun.
  void suspect(fd_table& table, operation& op) noexcept {
    op.moment = moments_[op.state->trusted];
    table.suspect(op.fd, *op.state);
  }
  // A moment is over: checks those that began before it.
  void look_at_suspects(fd_table& table, bool trusted) noexcept {
    const std::uint8_t present = moments_[trusted]++;
    table.sift_suspects(trusted, [&](fd_state& s) noexcept {
      bool young = false;
      for (operation* op = s.operations.front(); op != nullptr;) {
        operation* next = s.operations.after(op);
        if (op->suspect && op->moment == present) {
          young = true;
        } else if (op->suspect) {
          op->suspect = false;
          s.trusted = true;  // if it does not hold, all is asked anew
          if (op->generation == s.generation) check(*op);
        }
        op = next;
      }
      return young;
    });
  }

  void begun(operation& op) noexcept {
    op.started = true;
    op.done = false;
    op.generation = op.state->generation;
    if (__builtin_expect(op.returns, 0)) {
      op.state->operations.push_front(&op);
    } else {
      op.state->operations.push_back(&op);
    }
    ++pending_;
  }
  void ended(operation& op, long result) noexcept {
    op.unlink();
    op.done = true;
    op.result = result;
    --pending_;
  }

  bool completes_io_ = false;
  bool stopgap_ = false;
  unsigned pending_ = 0;
  unsigned unsubmitted_ = 0;
  std::uint8_t moments_[2] = {};  // of states not trusted yet, and of those that are
};

// `alone`: the thread waits in it, so that it must know `wake`; else it is asked by `wait(0)` only.
// Throws std::system_error if the kernel refuses.
std::unique_ptr<reactor> make_epoll(fd_table& table, bool alone = true);
// Null where io_uring is missing, forbidden (seccomp, sysctl) or too old. Throws std::system_error if no
// descriptors are left.
std::unique_ptr<reactor> make_uring(fd_table& table);
// The stopgap: needs no descriptor.
std::unique_ptr<reactor> make_bare();

// The one COIR_REACTOR asks for; by default io_uring where it works, else epoll; the stopgap if no
// descriptors are left. Throws std::invalid_argument for a wrong COIR_REACTOR, std::system_error if the
// wanted one cannot be had.
std::unique_ptr<reactor> make_reactor(fd_table& table);

}  // namespace coir::reactor

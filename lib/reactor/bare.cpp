// The reactor of a thread for which no descriptor is left: ppoll on all that is waited for, each time anew.
//
// It lasts until there are numbers again; the scheduler asks before each sleep. Nothing ends a ppoll from
// outside without a descriptor, so none lasts longer than `longest`: that is how late a wake-up by another
// thread may be. A descriptor that has answered what nobody asked (fd_state::level_lies) would end each ppoll
// at once: it is looked at when a ppoll of the others is over. I1: `waiting_` holds the operations that are
// started and not done.
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "reactor/reactor.hpp"
#include "sys/raw.hpp"

namespace coir::reactor {
namespace {

constexpr base::nanoseconds longest = 5'000'000;
constexpr short end_or_error = POLLHUP | POLLERR | POLLNVAL;

class bare final : public reactor {
 public:
  bare() noexcept { stopgap_ = true; }

  int start(operation& op) noexcept override {
    if (op.kind != op_kind::poll) return EOPNOTSUPP;
    try {
      asked_.reserve(waiting_.size() + 1);
      waiting_.push_back(&op);
    } catch (...) {
      return ENOSPC;
    }
    begun(op);
    return 0;
  }

  bool stop(operation& op) noexcept override {
    if (!op.done) leave(op, -ECANCELED);
    return true;
  }

  void forget(int, fd_state& s, std::uint32_t old, bool) noexcept override {
    for (operation* op = s.operations.front(); op != nullptr;) {
      operation* next = s.operations.after(op);
      if (op->generation == old) {
        op->closed = true;
        leave(*op, -EBADF);
        op->complete(op);
      }
      op = next;
    }
  }
  void forget_elsewhere(int) noexcept override {}

  bool wait(base::nanoseconds until) noexcept override {
    asked_.clear();  // start has made room
    bool lies = false;
    for (const operation* op : waiting_) {
      lies = lies || op->state->level_lies;
      asked_.push_back({op->state->level_lies ? -1 : op->fd, static_cast<short>(op->events & 0xffff), 0});
    }
    const bool told = woken_.exchange(false, std::memory_order_acquire);  // pairs with wake
    base::nanoseconds left = longest;
    if (told || until <= 0)
      left = 0;
    else if (until != base::never)
      left = std::clamp<base::nanoseconds>(until - base::monotonic_now(), 0, longest);
    timespec t = base::to_timespec(left);
    long n = ask(t);
    if (lies && n >= 0) {  // these are looked at when the others have been waited for
      for (std::size_t i = 0; i < asked_.size(); ++i) asked_[i].fd = waiting_[i]->fd;
      n = ask({});
    }
    if (n > 0) deliver();
    return n == -EINTR && until > 0;
  }

  void wake() noexcept override { woken_.store(true, std::memory_order_release); }

  bool wants_successor() noexcept override {
    const long fd = sys::raw(SYS_eventfd2, 0, EFD_CLOEXEC);
    if (fd >= 0) sys::raw(SYS_close, fd);
    return fd >= 0;
  }

  void hand_over(reactor& to) noexcept override {
    for (operation* op : waiting_) {
      op->closed = op->generation != op->state->generation;  // and nobody told of it
      ended(*op, 0);
      op->done = false;
      const int error = op->closed ? EBADF : to.start(*op);
      if (error == 0) continue;
      op->done = true;
      op->result = -error;
      op->complete(op);
    }
    waiting_.clear();
  }

  const char* name() const noexcept override { return "bare"; }

 private:
  long ask(timespec longest_wait) noexcept {
    return sys::raw(SYS_ppoll, sys::word(asked_.data()), static_cast<long>(asked_.size()),
                    sys::word(&longest_wait), 0, 8);
  }

  void leave(operation& op, long result) noexcept {
    std::erase(waiting_, &op);
    ended(op, result);
  }

  // Completes those that `asked_` found ready; of several exclusive ones for the same event the first.
  void deliver() noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < asked_.size(); ++i) {
      operation* op = waiting_[i];
      short hit = asked_[i].revents;
      if (hit != 0 && op->exclusive && taken_before(i)) hit = 0;
      if (hit == 0) {
        asked_[i].revents = 0;
        waiting_[kept++] = op;
        continue;
      }
      op->state->drained = false;
      // An error queue that nobody reads stays. Its first answer is one for all that is asked, as an edge's
      // is.
      std::uint32_t answer = static_cast<unsigned short>(hit) & op->events;
      if (answer == 0) {
        op->state->level_lies = true;
        answer = op->events & (POLLIN | POLLOUT);
      }
      ended(*op, answer);
      if (!op->complete(op)) asked_[i].revents = 0;
    }
    waiting_.resize(kept);
  }

  bool taken_before(std::size_t i) const noexcept {
    for (std::size_t j = 0; j < i; ++j)
      if (asked_[j].fd == asked_[i].fd && asked_[j].revents != 0 && asked_[j].events == asked_[i].events &&
          (asked_[i].revents & end_or_error) == 0)
        return true;
    return false;
  }

  std::vector<operation*> waiting_;
  std::vector<pollfd> asked_;  // one for each of them, in the same order
  std::atomic<bool> woken_{false};
};

}  // namespace

std::unique_ptr<reactor> make_bare() {
  return std::make_unique<bare>();
}

}  // namespace coir::reactor

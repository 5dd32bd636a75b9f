// Waiting for readiness of any of several descriptors: one operation each, all waking the same waiter.
#pragma once

#include <errno.h>
#include <sys/epoll.h>

#include <cstddef>
#include <memory>
#include <new>

#include "wait/io.hpp"

namespace coir::wait {

class watch_set {
 public:
  // For at most `count` descriptors.
  explicit watch_set(std::size_t count) noexcept
      : many_(count > few ? new (std::nothrow) waiting_operation[count] : nullptr),
        operations_(count > few ? many_.get() : here_) {}

  bool ok() const noexcept { return operations_ != nullptr; }
  bool empty() const noexcept { return used_ == 0; }

  // Watches the descriptor that is the caller's number `index`. 0, or an errno.
  int add(sched::scheduler& s, int fd, std::uint32_t events, std::size_t index, waiter& w) noexcept {
    waiting_operation& op = operations_[used_];
    op.kind = reactor::op_kind::poll;
    op.fd = fd;
    op.state = s.fds().get(fd);
    op.events = events | EPOLLERR | EPOLLHUP;
    // System V's names for the same; a reactor watches for the usual ones.
    if ((events & (EPOLLRDNORM | EPOLLRDBAND)) != 0) op.events |= EPOLLIN;
    // io_uring does not look at EPOLLPRI when it is woken, but at this, which comes with it.
    if ((events & EPOLLPRI) != 0) op.events |= EPOLLRDBAND;
    if ((events & (EPOLLWRNORM | EPOLLWRBAND)) != 0) op.events |= EPOLLOUT;
    op.size = index;
    op.who = &w;
    if (op.state == nullptr) return EBADF;
    s.watch();
    const int error = s.opened_io()->start(op);
    if (error == 0) ++used_;
    return error;
  }

  // Ends all; afterwards the kernel knows none of them.
  void stop(sched::scheduler& s, const char* name) noexcept {
    for (std::size_t i = 0; i < used_; ++i) operations_[i].who = nullptr;
    for (std::size_t i = 0; i < used_; ++i)
      if (!operations_[i].done) s.opened_io()->stop(operations_[i]);
    for (std::size_t i = 0; i < used_; ++i) {
      waiting_operation& op = operations_[i];
      while (!op.done) {
        waiter w(s);
        op.who = &w;
        park(w, name, mode::uninterruptible);
      }
    }
  }

  // After stop: calls `gone(index)` for those that were closed meanwhile, though their numbers may be in use
  // again. True if there were any.
  template <class Gone>
  bool closed(Gone gone) const {
    bool any = false;
    for (std::size_t i = 0; i < used_; ++i) {
      const waiting_operation& op = operations_[i];
      if (reactor::fd_owners()[op.fd].generation.load(std::memory_order_acquire) == op.generation) continue;
      gone(op.size);
      any = true;
    }
    return any;
  }
  // After stop: whether one ended with an error, so that it says nothing about its descriptor.
  bool failed() const noexcept {
    for (std::size_t i = 0; i < used_; ++i)
      if (operations_[i].result < 0 && operations_[i].result != -ECANCELED) return true;
    return false;
  }
  // After stop: calls `f(index, result)` for those that ended by themselves.
  template <class F>
  void ended(F f) const {
    for (std::size_t i = 0; i < used_; ++i)
      if (operations_[i].result != -ECANCELED) f(operations_[i].size, operations_[i].result);
  }

 private:
  static constexpr std::size_t few = 4;
  waiting_operation here_[few];
  std::unique_ptr<waiting_operation[]> many_;
  waiting_operation* operations_;
  std::size_t used_ = 0;
};

}  // namespace coir::wait

#include "reactor/manual.hpp"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>

namespace coir::reactor {

void manual::make_ready_at(base::nanoseconds when, int fd, std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) events |= EPOLLIN | EPOLLOUT;
  script_.emplace(std::max(when, now_), readiness{fd, events});
  recount();
}

int manual::start(operation& op) noexcept {
  if (op.kind != op_kind::poll) return EOPNOTSUPP;
  begun(op);
  waiting_.push_back(&op);
  recount();
  return 0;
}

bool manual::stop(operation& op) noexcept {
  if (!op.done) finish(op, -ECANCELED);
  recount();
  return true;
}

void manual::forget(int fd, fd_state& state, std::uint32_t old, bool) noexcept {
  ready_.erase(fd);
  std::erase_if(script_, [fd](const auto& entry) { return entry.second.fd == fd; });
  for (operation* op = state.operations.front(); op != nullptr;) {
    operation* next = state.operations.after(op);
    if (op->generation == old) {
      op->closed = true;
      finish(*op, -EBADF);
      op->complete(op);
    }
    op = next;
  }
  recount();
}

void manual::nudge(fd_state& state, std::uint32_t events) noexcept {
  if (const operation* op = state.operations.front()) complete_waiting(op->fd, events);
  recount();
}

bool manual::wait(base::nanoseconds until) noexcept {
  // acquire: pairs with wake
  bool over = deliver_due() || woken_.exchange(false, std::memory_order_acquire);
  while (!over && !script_.empty() && script_.begin()->first <= until) {
    now_ = script_.begin()->first;
    over = deliver_due();
  }
  if (!over) {
    if (until != base::never)
      now_ = std::max(now_, until);
    else
      ::sched_yield();  // only another thread can end this; it needs the processor
  }
  recount();
  return false;
}

bool manual::deliver_due() noexcept {
  bool any = false;
  while (!script_.empty() && script_.begin()->first <= now_) {
    const readiness due = script_.begin()->second;
    script_.erase(script_.begin());
    ready_[due.fd] |= due.events;
  }
  for (auto at = ready_.begin(); at != ready_.end();) {
    const int fd = at->first;
    ++at;  // deliver may erase it
    any |= deliver(fd);
  }
  return any;
}

bool manual::deliver(int fd) noexcept {
  const std::uint32_t consumed = complete_waiting(fd, ready_[fd]);
  if ((ready_[fd] &= ~consumed) == 0) ready_.erase(fd);
  return consumed != 0;
}

std::uint32_t manual::complete_waiting(int fd, std::uint32_t events) noexcept {
  std::uint32_t consumed = 0;
  std::uint32_t taken = 0;  // directions an exclusive waiter was woken for
  const std::vector<operation*> candidates = waiting_;
  for (operation* op : candidates) {
    const std::uint32_t hit = op->events & events;
    if (op->fd != fd || hit == 0 || (op->exclusive && (hit & taken) != 0)) continue;
    op->state->drained = false;
    finish(*op, static_cast<long>(hit));
    consumed |= hit;
    if (op->complete(op) && op->exclusive) taken |= hit;
  }
  return consumed;
}

void manual::finish(operation& op, long result) noexcept {
  std::erase(waiting_, &op);
  ++pending_;  // `ended` takes it back: it counts operations, recount those with a future
  ended(op, result);
}

void manual::recount() noexcept {
  pending_ = 0;
  for (const operation* op : waiting_) {
    const auto held = ready_.find(op->fd);
    const bool now = held != ready_.end() && (held->second & op->events) != 0;
    const bool later = std::any_of(script_.begin(), script_.end(), [op](const auto& entry) {
      return entry.second.fd == op->fd && (entry.second.events & op->events) != 0;
    });
    if (now || later) ++pending_;
  }
}

}  // namespace coir::reactor

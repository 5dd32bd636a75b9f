#include "sched/mailbox.hpp"

#include <errno.h>
#include <linux/futex.h>

#include <algorithm>
#include <utility>

#include "sched/upcalls.hpp"
#include "sys/raw.hpp"

namespace coir::sched {
namespace {

detail::spin_lock registry_lock;
mailbox* all = nullptr;
std::atomic<unsigned> count{0};

// Longer than the kernel takes to wake a thread, or two that wake each other would never both be awake.
constexpr base::nanoseconds longest_linger = 30'000;

}  // namespace

void registry::lock() noexcept {
  registry_lock.lock();
}
void registry::unlock() noexcept {
  registry_lock.unlock();
}
mailbox* registry::first() noexcept {
  return all;
}

mailbox* mailbox::acquire(mailbox* (*make)()) {
  const auto take = []() noexcept {
    mailbox* m = all;
    while (m != nullptr && m->taken_) m = m->next_;
    if (m != nullptr) m->taken_ = true;
    return m;
  };
  registry_lock.lock();
  mailbox* m = take();
  registry_lock.unlock();
  if (m != nullptr) return m;
  mailbox* fresh = make();  // not under the lock: it may throw
  registry_lock.lock();
  fresh->taken_ = true;
  fresh->slot_ = count++;
  fresh->next_ = all;
  all = fresh;
  registry_lock.unlock();
  return fresh;
}

unsigned mailbox::slots() noexcept {
  return count.load(std::memory_order_relaxed);
}

void mailbox::open(scheduler* owner) noexcept {
  registry_lock.lock();
  lock_.lock();
  inbox_.take_all();  // in the child of a fork a lock may have been handed to who is not there any more
  alive_ = true;
  owner_ = owner;
  ++generation_;
  asleep_.store(awake, std::memory_order_relaxed);
  lock_.unlock();
  registry_lock.unlock();
}

void mailbox::retire() noexcept {
  registry_lock.lock();
  lock_.lock();
  alive_ = false;
  owner_ = nullptr;
  io_ = nullptr;
  lock_.unlock();
  registry_lock.unlock();
}

void mailbox::release() noexcept {
  registry_lock.lock();
  taken_ = false;
  registry_lock.unlock();
}

bool mailbox::post(base::inbox_node* node, std::uint64_t generation) noexcept {
  const busy during;
  lock_.lock();
  const bool alive = alive_ && (generation == 0 || generation == generation_);
  if (alive) inbox_.push(node);
  lock_.unlock();
  if (alive && asleep_.load(std::memory_order_seq_cst) != awake) kick();
  return alive;
}

void mailbox::busy::not_any_more() noexcept {
  if (up.late_wakes != nullptr) up.late_wakes();
}

void mailbox::kick() noexcept {
  const int was = asleep_.exchange(awake, std::memory_order_seq_cst);
  if (was == in_futex) {
    sys::raw(SYS_futex, sys::word(&asleep_), FUTEX_WAKE_PRIVATE, 1);
  } else if (was == in_reactor) {
    const busy during;
    lock_.lock();
    if (io_ != nullptr) io_->wake();
    lock_.unlock();
  }
}

void mailbox::push_from_handler(base::inbox_node* node) noexcept {
  inbox_.push(node);
  // The owner, which this thread is, may have looked already and not sleep yet. A futex sees the change.
  if (asleep_.exchange(awake, std::memory_order_seq_cst) == in_reactor && io_ != nullptr) io_->wake();
}

void mailbox::set_io(reactor::reactor* io) noexcept {
  lock_.lock();
  io_ = io;
  lock_.unlock();
}

bool mailbox::has_ring() noexcept {
  const busy during;
  lock_.lock();
  const bool ring = io_ != nullptr && io_->completes_io();
  lock_.unlock();
  return ring;
}

void mailbox::forget_elsewhere(int fd) noexcept {
  const busy during;
  lock_.lock();
  if (io_ != nullptr) io_->forget_elsewhere(fd);
  lock_.unlock();
}

void mailbox::deliver_all() noexcept {
  base::inbox_node* node = inbox_.take_all();
  const bool inside = std::exchange(delivers_, true);
  while (node != nullptr) {
    base::inbox_node* next = node->next_in_inbox;  // delivery may free the node, or let it be pushed again
    node->deliver(node);
    node = next;
  }
  delivers_ = inside;
}

bool mailbox::linger(base::nanoseconds until) noexcept {
  if (!told_ || detail::single_threaded()) return false;
  if (skip_ != 0) {
    --skip_;
    return false;
  }
  until = std::min(until, base::monotonic_now() + longest_linger);
  do {
    for (int i = 0; i < 16; ++i) {
      if (!inbox_.empty()) {
        misses_ = 0;
        return true;
      }
      detail::pause();
    }
  } while (base::monotonic_now() < until);
  misses_ = std::min<std::uint8_t>(misses_ + 1, 5);
  skip_ = static_cast<std::uint8_t>((1U << misses_) - 1);
  told_ = false;
  return false;
}

bool mailbox::sleep(reactor::reactor* io, base::nanoseconds until) noexcept {
  if (io != nullptr && io_ != io) set_io(io);
  asleep_.store(io != nullptr ? in_reactor : in_futex,
                std::memory_order_seq_cst);  // pairs with push and post
#ifndef __x86_64__                           // there such a store is a full barrier
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  if (!inbox_.empty()) {
    asleep_.store(awake, std::memory_order_relaxed);
    return false;
  }
  bool interrupted = false;
  if (io != nullptr) {
    interrupted = io->wait(until);
  } else {
    const timespec at = base::to_timespec(until);  // FUTEX_WAIT_BITSET takes a point on CLOCK_MONOTONIC
    interrupted = sys::raw(SYS_futex, sys::word(&asleep_), FUTEX_WAIT_BITSET_PRIVATE, in_futex,
                           until == base::never ? 0 : sys::word(&at), 0, -1L) == -EINTR;
  }
  asleep_.store(awake, std::memory_order_relaxed);
  told_ = !inbox_.empty();
  return interrupted;
}

void mailbox::forget_others(mailbox* own) noexcept {
  for (mailbox* m = all; m != nullptr; m = m->next_) {
    m->lock_.unlock();
    if (m != own) m->alive_ = m->taken_ = false;
    if (m != own && m->io_ != nullptr) m->io_->leave_in_child();
    m->io_ = nullptr;
    m->discard_all();
  }
}

void mailbox::discard_all() noexcept {
  inbox_.take_all();
}

}  // namespace coir::sched

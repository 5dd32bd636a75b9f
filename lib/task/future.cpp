#include <pthread.h>

#include <atomic>
#include <future>
#include <memory>
#include <utility>

#include "coir/detail/future_core.hpp"
#include "coir/timeout.hpp"
#include "task/report.hpp"

namespace coir::detail {
namespace {

constinit std::atomic<std::uint32_t> forks_seen{0};
const bool futures_told_at_fork =
    ::pthread_atfork(nullptr, nullptr, [] { forks_seen.fetch_add(1, std::memory_order_relaxed); }) == 0;

}  // namespace

std::uint32_t forks() noexcept {
  return forks_seen.load(std::memory_order_relaxed);
}

struct future_core::link {
  void (*run)(void* context);
  void (*drop)(void* context) noexcept;
  void* context;
  link* next = nullptr;
  link* prev = nullptr;
  bool taken = false;  // to be run

  void call() noexcept {
    try {
      run(context);
    } catch (...) {
      task::report_exception(std::current_exception(), "a callback of a future");
    }
    drop(context);
  }
};

future_core::~future_core() {
  for (std::unique_ptr<link> l(first_); l != nullptr; l.reset(l->next))
    if (!l->taken) l->drop(l->context);
}

bool future_core::claim() {
  if (leave_open(claimed)) return true;
  if (state_.load(std::memory_order_acquire) == cancelled) return false;
  throw std::future_error(std::future_errc::promise_already_satisfied);
}

void future_core::finish() noexcept {
  ready.set();
  lock_.lock();
  running_ = true;
  running_in_ = forks();
  for (link* l = first_; l != nullptr; l = l->next) {
    l->taken = true;
    lock_.unlock();
    l->call();
    lock_.lock();
  }
  closed_ = true;
  std::unique_ptr<link> l(std::exchange(first_, nullptr));
  lock_.unlock();
  while (l != nullptr) l.reset(l->next);
}

void future_core::break_off() noexcept {
  // Whatever it is: another thread of the parent may have been about to end it.
  state now = state_.load(std::memory_order_acquire);
  do {
    if (now == broken) return;
  } while (!state_.compare_exchange_weak(now, broken, std::memory_order_acq_rel));
  error = std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
  error_seen.store(true, std::memory_order_relaxed);  // not thrown by anything here
  finish();
}

bool future_core::cancel() noexcept {
  if (is_over() || !withdraw() || !leave_open(cancelled)) return false;
  error = std::make_exception_ptr(coir::cancelled());
  finish();
  return true;
}

void* future_core::add_link(void (*run)(void*), void (*drop)(void*) noexcept, void* context, bool in_turn) {
  looked_at();
  auto l = std::make_unique<link>(link{run, drop, context});
  lock_.lock();
  // Those that run in the parent of this process never come to an end here.
  const bool ended = closed_ || (running_ && (!in_turn || running_in_ != forks()));
  if (!ended) {
    l->prev = last_;
    (first_ == nullptr ? first_ : last_->next) = l.get();
    last_ = l.get();
  }
  lock_.unlock();
  if (!ended) return l.release();
  l->call();
  return nullptr;
}

bool future_core::remove_link(void* added) noexcept {
  lock_.lock();
  auto* l = static_cast<link*>(added);
  const bool there = !closed_ && !l->taken;  // I2
  if (there) {
    (l->prev == nullptr ? first_ : l->prev->next) = l->next;
    (l->next == nullptr ? last_ : l->next->prev) = l->prev;
  }
  lock_.unlock();
  if (there) delete l;
  return there;
}

}  // namespace coir::detail

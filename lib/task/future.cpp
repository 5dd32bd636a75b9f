#include <future>
#include <memory>
#include <utility>

#include "coir/detail/future_core.hpp"
#include "coir/timeout.hpp"
#include "task/report.hpp"

namespace coir::detail {

struct future_core::link {
  void (*run)(void* context);
  void (*drop)(void* context) noexcept;
  void* context;
  link* next = nullptr;
  link* prev = nullptr;

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
  for (std::unique_ptr<link> l(first_); l != nullptr; l.reset(l->next)) l->drop(l->context);
}

bool future_core::claim() {
  if (leave_open(claimed)) return true;
  if (state_.load(std::memory_order_acquire) == cancelled) return false;
  throw std::future_error(std::future_errc::promise_already_satisfied);
}

void future_core::finish() noexcept {
  ready.set();
  lock_.lock();
  closed_ = true;
  std::unique_ptr<link> l(std::exchange(first_, nullptr));
  lock_.unlock();
  while (l != nullptr) {
    l->call();
    l.reset(l->next);
  }
}

bool future_core::cancel() noexcept {
  if (ready.is_set() || !withdraw() || !leave_open(cancelled)) return false;
  error = std::make_exception_ptr(coir::cancelled());
  finish();
  return true;
}

void* future_core::add_link(void (*run)(void*), void (*drop)(void*) noexcept, void* context) {
  auto l = std::make_unique<link>(link{run, drop, context});
  lock_.lock();
  const bool ended = closed_;
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
  const bool there = !closed_;  // I2: else it has run, or is about to
  if (there) {
    auto* l = static_cast<link*>(added);
    (l->prev == nullptr ? first_ : l->prev->next) = l->next;
    (l->next == nullptr ? last_ : l->next->prev) = l->prev;
  }
  lock_.unlock();
  if (there) delete static_cast<link*>(added);
  return there;
}

}  // namespace coir::detail

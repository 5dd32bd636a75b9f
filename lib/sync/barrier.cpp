// A phase:   filling ──the last arrives──▶ completing ──the completion function returned──▶ the next, filling
//
// I1: missing_ is zero while completing_, so nobody can arrive then. I2: a waiter that gives up takes its
// arrival back while filling; later it is too late for that, and it waits for the end of the phase after all.
#include "coir/barrier.hpp"

#include <stdexcept>
#include <string>

#include "coir/this_fiber.hpp"
#include "sync/transfer.hpp"

namespace coir::detail {

using guard = sync::list_guard;

namespace {
constexpr const char* reason = "barrier";
}

barrier_core::barrier_core(std::ptrdiff_t expected, void (*complete)(void* f) noexcept, void* f)
    : expected_(expected), missing_(expected), complete_(complete), f_(f) {
  if (expected < 0)
    throw std::invalid_argument("coir::barrier: expected=" + std::to_string(expected) +
                                ": expected zero or more");
}

void barrier_core::check_locked(const char* where, std::ptrdiff_t n) {
  if (n < 1 || n > missing_)
    throw std::invalid_argument(
        std::string(where) + ": n=" + std::to_string(n) + ": " +
        (missing_ == 0 ? std::string("nobody is missing in this phase")
                       : "expected 1 to " + std::to_string(missing_) + ", which are missing in this phase"));
}

// True if all are there: complete_phase is to be called.
bool barrier_core::arrive_locked(std::ptrdiff_t n) noexcept {
  missing_ -= n;
  return completing_ = missing_ == 0;
}

void barrier_core::complete_phase() noexcept {
  {
    const this_fiber::shield during;  // it may wait, and not throw
    complete_(f_);
  }
  const guard g(waiters_);
  completing_ = false;
  missing_ = expected_;
  ++phase_;
  wait::wake_all_locked(waiters_);
}

std::uint64_t barrier_core::arrive(const char* where, std::ptrdiff_t n, bool drop) {
  std::uint64_t phase;
  bool last;
  {
    const guard g(waiters_);
    check_locked(where, n);
    if (drop) --expected_;
    phase = phase_;
    last = arrive_locked(n);
  }
  if (last) complete_phase();
  return phase;
}

void barrier_core::wait(std::uint64_t phase) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_wait(s);
  wait::queued_waiter w(s);
  {
    const guard g(waiters_);
    if (phase_ != phase) return;
    wait::enqueue_locked(waiters_, w);
  }
  wait::end_wait(s, wait::park_queued(waiters_, w, reason, base::never, m));
}

bool barrier_core::arrive_and_wait(std::int64_t deadline_ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_wait(s);
  wait::queued_waiter w(s);
  std::uint64_t phase;
  bool last;
  {
    const guard g(waiters_);
    check_locked("coir::barrier::arrive_and_wait", 1);
    phase = phase_;
    last = arrive_locked(1);
    if (!last) wait::enqueue_locked(waiters_, w);
  }
  if (last) {
    complete_phase();
    return true;
  }
  const wait::outcome o = wait::park_queued(waiters_, w, reason, deadline_ns, m);
  if (o == wait::outcome::notified) return true;
  wait::queued_waiter again(s);
  bool taken_back;
  {
    const guard g(waiters_);
    if (phase_ != phase) return true;
    taken_back = !completing_;
    if (taken_back)
      ++missing_;
    else
      wait::enqueue_locked(waiters_, again);
  }
  if (taken_back)
    wait::end_wait(s, o);
  else
    wait::park_queued(waiters_, again, reason, base::never, wait::mode::uninterruptible);
  return !taken_back;
}

}  // namespace coir::detail

// A reactor without a kernel, for tests: readiness comes from a script, and time passes only when everybody
// waits.
//
// Put in a scheduler's place by
//   auto io = std::make_unique<reactor::manual>();
//   const auto* clock = io->clock();
//   scheduler.use_reactor(std::move(io), clock);
// I1: `wait` never blocks and never goes back in time. It stops at the first scripted moment that completes
// an
//     operation, else at `until`; an endless wait leaves the clock where it is.
// I2: pending() counts the operations that what is held or scripted can still complete, so a scheduler whose
// fibers
//     wait for what nobody scripted sees the deadlock.
// I3: readiness is kept until an operation takes it, as a level-triggered kernel would keep it.
#pragma once

#include <atomic>
#include <map>
#include <vector>

#include "reactor/reactor.hpp"

namespace coir::reactor {

class manual final : public reactor {
 public:
  explicit manual(base::nanoseconds start = 0) noexcept : now_(start) {}

  // Lives as long as the reactor; for scheduler::use_reactor.
  const base::nanoseconds* clock() const noexcept { return &now_; }
  base::nanoseconds now() const noexcept { return now_; }
  // Lets time pass although somebody runs, as a long computation does. `d` is zero or more.
  void advance(base::nanoseconds d) noexcept { now_ = base::add_saturated(now_, d); }

  // From `when` on `fd` is ready for `events` (EPOLLIN …), for the operations that wait then, or for the next
  // one. A time that has passed means now. EPOLLHUP and EPOLLERR mean readable and writable too.
  void make_ready_at(base::nanoseconds when, int fd, std::uint32_t events);

  int start(operation& op) noexcept override;
  bool stop(operation& op) noexcept override;
  void forget(int fd, fd_state& state, std::uint32_t old,
              bool still_open) noexcept override;  // its script as well
  void forget_elsewhere(int) noexcept override {}
  void nudge(fd_state& state, std::uint32_t events) noexcept override;
  bool wait(base::nanoseconds until) noexcept override;
  void wake() noexcept override { woken_.store(true, std::memory_order_release); }  // pairs with wait
  const char* name() const noexcept override { return "manual"; }

 private:
  struct readiness {
    int fd;
    std::uint32_t events;
  };

  // Makes ready what is due, and completes what waits for it. True if anything completed.
  bool deliver_due() noexcept;
  bool deliver(int fd) noexcept;
  // Completes what waits on `fd` for `events`; returns those of them that someone took.
  std::uint32_t complete_waiting(int fd, std::uint32_t events) noexcept;
  void finish(operation& op, long result) noexcept;
  void recount() noexcept;  // I2

  base::nanoseconds now_;
  std::multimap<base::nanoseconds, readiness> script_;
  std::map<int, std::uint32_t> ready_;
  std::vector<operation*> waiting_;  // in the order of starting
  std::atomic<bool> woken_{false};
};

}  // namespace coir::reactor

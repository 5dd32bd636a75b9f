// The world of a unit test: the manual reactor and its clock. Nothing in it sleeps.
#pragma once

#include <chrono>
#include <memory>

#include <coir/this_fiber.hpp>

#include "reactor/manual.hpp"
#include "sched/scheduler.hpp"
#include "support/throws.hpp"

namespace unit {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

// Fixture: TEST_CASE_METHOD(virtual_time, "subject: behaviour").
class virtual_time {
 public:
  // The first moment is well after those that earlier tests saw: the scheduler's timers know no way back.
  virtual_time() : scheduler_(coir::sched::scheduler::ensure()) {
    auto io = std::make_unique<coir::reactor::manual>(epoch);
    io_ = io.get();
    clock = io->clock();
    scheduler_.use_reactor(std::move(io), clock);
    start_ = *clock;
  }
  ~virtual_time() { epoch = *clock + 1'000'000'000; }
  virtual_time(const virtual_time&) = delete;
  virtual_time& operator=(const virtual_time&) = delete;

  // Since the test began.
  nanoseconds elapsed() const { return nanoseconds(*clock - start_); }
  void compute(nanoseconds d) { io_->advance(d.count()); }
  coir::reactor::manual& io() { return *io_; }
  coir::sched::scheduler& scheduler() { return scheduler_; }

  // The virtual clock for those members of the API that take a time_point.
  struct time_source {
    using duration = nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<time_source>;
    static constexpr bool is_steady = true;
    static time_point now() { return time_point(nanoseconds(*clock)); }
  };

 private:
  static inline coir::base::nanoseconds epoch = 1'000'000'000;
  static inline const coir::base::nanoseconds* clock = nullptr;

  coir::sched::scheduler& scheduler_;
  coir::reactor::manual* io_;
  coir::base::nanoseconds start_;
};

// Lets every ready fiber run until all of them wait.
inline void settle() {
  for (int i = 0; i < 64; ++i) coir::this_fiber::yield();
}

}  // namespace unit

// What fibers have of their own by coir::local and coir::inherited: sched::fiber::locals and ::values.
//
// Both belong to the fiber's own thread, and are null unless the scheduler's `has_data` says that fibers of
// the thread have ever had any: so those that have none pay one test at their beginning and one at their end.
#pragma once

#include "coir/detail/context.hpp"
#include "wait/interrupt.hpp"

namespace coir::task {

// While it lives, `f`, the running fiber, is not interrupted: destructors that wait must not throw.
class shielded {
 public:
  explicit shielded(sched::fiber& f) noexcept : f_(f) {
    ++f_.shield_depth;
    wait::refresh(f_);
  }
  ~shielded() {
    --f_.shield_depth;
    wait::refresh(f_);
  }
  shielded(const shielded&) = delete;
  shielded& operator=(const shielded&) = delete;

 private:
  sched::fiber& f_;
};

// What the fiber that runs on `s` sees, for one that it has just made.
void inherit_values(sched::scheduler& s, sched::fiber& fresh) noexcept;
void give_values(sched::fiber& f, detail::context seen) noexcept;

// `main` has data now: they go with the thread's own, while its scheduler still works.
void end_data_with_thread();

// The running fiber ends: destroys its local objects, then the values. May wait; is not interrupted.
void end_data(sched::fiber& self) noexcept;

}  // namespace coir::task

// What group, pool and map share: fibers of one thread, none of which outlives the owner. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>

#include "coir/detail/fiber_base.hpp"
#include "coir/detail/wait_list.hpp"
#include "coir/failure_report.hpp"

namespace coir::detail {

class group_core {
 public:
  struct member;

  explicit group_core(bool fails_together = false) noexcept : fails_together_(fails_together) {}
  virtual ~group_core() { end(); }
  group_core(const group_core&) = delete;
  group_core& operator=(const group_core&) = delete;

  // The member is valid until its fiber has ended. Throws std::bad_alloc; std::invalid_argument if the fiber
  // is another thread's.
  member* add(fiber_base* f);
  // The same for a fiber just spawned; if this throws, it never runs.
  member* add_fresh(fiber_base* f);
  // Waits until none is left; false at the deadline.
  bool wait(std::int64_t deadline_ns);
  // The same, and throws the first error since the last time.
  bool join(std::int64_t deadline_ns);
  void cancel() noexcept;
  // Cancels those that are in it now and waits for their ends; false at the deadline.
  bool cancel_until(std::int64_t deadline_ns);
  // The membership of a fiber of this thread that has not ended; null if it is none of this group's.
  member* member_of(fiber_base* f) const noexcept;
  std::size_t size() const noexcept { return size_; }
  void report_failures(failure_report when) noexcept { reports_ = when; }

 protected:
  // Somebody waits for the end of all.
  virtual bool awaited() const noexcept { return !joiners_.empty(); }
  // Throws std::logic_error naming `what` if its fibers are another thread's.
  void check_thread(const char* what) const;
  // Cancels all and waits for their ends, whatever happens. Derived classes call it in their destructors.
  void end() noexcept;
  void throw_first_error();
  void drop_first_error() noexcept;

 private:
  bool elsewhere() const noexcept;  // its fibers are another thread's
  void note_failure(fiber_base* f) noexcept;
  // In the child of a fork, the fibers of before are not here any more.
  bool left_behind() const noexcept;
  void forget_left_behind() noexcept;

  // `m`'s fiber has ended, and it is not counted any more.
  virtual void left(member&) noexcept {}

  member* first_ = nullptr;
  std::size_t size_ = 0;
  const void* home_ = nullptr;  // the scheduler of its fibers; void while there are none
  std::uint32_t forks_ = 0;     // of the process, when the first of them came
  wait_list joiners_;
  fiber_base* first_failed_ = nullptr;  // a reference, so that its exception is told if nobody asks for it
  const bool fails_together_;
  bool ending_ = false;
  failure_report reports_ = failure_report::unless_awaited;
};

}  // namespace coir::detail

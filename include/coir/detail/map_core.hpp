// What map and map_unordered do, without their types. Internal; lib/task/map.cpp says how.
#pragma once

#include <cstddef>
#include <exception>

#include "coir/detail/group_core.hpp"

namespace coir::detail {

class pool_core;

// An item on its way from the input to the consumer.
struct map_slot {
  map_slot* next = nullptr;
  std::exception_ptr error;  // what its call, or reading it, threw
  bool done = false;
};

// The workers are its members.
class map_core : group_core {
 public:
  // Throws std::invalid_argument naming `where` if `limit` is not positive.
  map_core(const char* where, std::ptrdiff_t limit, bool ordered);
  map_core(pool_core& p, bool ordered) noexcept;
  ~map_core() override;

  // Whether its workers can only go on once there is room in the pool.
  bool waits_for_room() const noexcept { return at_door_ != 0 && !reading_; }
  // Its pool has more room than before.
  void more_room() noexcept;
  // Its pool is gone, and with that its workers.
  void lose_pool() noexcept;

 protected:
  // Cancels the workers and waits for their ends. To be called by the destructor of what implements the
  // following; nobody waits in next_slot.
  void stop() noexcept;

  // In workers; they may wait and throw, but for `read` one at a time.
  virtual map_slot* make_slot() = 0;
  virtual bool read(map_slot& s) = 0;  // the next item of the input into it; false at its end
  virtual void run(map_slot& s) = 0;   // calls the function

  // The next one that is done; null at the end. Suspends; throws as mapping::next, but for the item's error.
  map_slot* next_slot();
  void recycle(map_slot* s) noexcept;

 private:
  class room;

  std::size_t limit() const noexcept;
  bool may_read() const noexcept;
  void left(member& m) noexcept override;
  void work();
  void wait_for_work(fiber_base* self);
  void do_item(map_slot* s, fiber_base* self);
  void send_worker();
  void start_worker();
  void finish(map_slot* s) noexcept;
  void end_of_input() noexcept;
  void append(map_slot* s) noexcept;
  bool result_ready() const noexcept { return first_ != nullptr && first_->done; }
  void wait_for_result();
  void wake_consumer() noexcept;

  friend pool_core;
  pool_core* pool_ = nullptr;
  map_core* next_of_pool_ = nullptr;
  map_core* previous_of_pool_ = nullptr;
  std::size_t limit_ = 0;
  const bool ordered_;
  bool reading_ = false;
  bool exhausted_ = false;
  bool stopping_ = false;
  fiber_base* on_its_way_ = nullptr;
  std::size_t outstanding_ = 0;
  std::size_t at_door_ = 0;
  std::size_t yielding_ = 0;
  map_slot* first_ = nullptr;
  map_slot* last_ = nullptr;
  map_slot* free_ = nullptr;
  wait_list idle_;
  wait_list consumers_;
  std::exception_ptr failure_;
};

}  // namespace coir::detail

// A group whose members need room. Internal.
#pragma once

#include <cstddef>
#include <vector>

#include "coir/detail/group_core.hpp"

namespace coir::detail {

class map_core;

class pool_core final : public group_core {
 public:
  // Throws std::invalid_argument if `limit` is not positive.
  explicit pool_core(std::ptrdiff_t limit);
  ~pool_core() override;

  // Takes room for one, waiting for it in the order of coming. Throws as pool::spawn.
  void enter();
  // The same for a member of which enter does not know that it will have room.
  void enter(member* m);
  bool try_enter() noexcept;
  void leave() noexcept;
  void leave(member* m) noexcept;
  // A fiber just spawned, for which room was taken, has it until its end. If this throws, the room is free.
  void add_holder(fiber_base* f);
  // Waits until all room is free.
  bool join_all(std::int64_t deadline_ns);
  void resize(std::ptrdiff_t limit);
  // A mapping's room is this pool's, until it is taken out.
  void add_mapping(map_core& m) noexcept;
  void remove_mapping(map_core& m) noexcept;

  // The calling fiber is about to wait for `m`'s results. If it holds room: throws as enter does, or returns
  // true, and is to say when it has waited.
  bool begin_stall(const map_core& m);
  void end_stall(const map_core& m) noexcept;

  std::size_t limit() const noexcept { return limit_; }
  std::size_t in_use() const noexcept { return in_use_; }

 private:
  void left(member& m) noexcept override;
  bool awaited() const noexcept override { return group_core::awaited() || !joiners_.empty(); }
  void wait_for_room(bool holder);
  bool caller_holds_room() const noexcept;
  // How many of those that hold room wait for room, or for mappings that wait for it.
  std::size_t stuck() const noexcept;
  [[noreturn]] void refuse_deadlock() const;

  std::size_t limit_;
  std::size_t in_use_ = 0;
  wait_list waiting_;                     // for room; a waiter's `item` is not null if its fiber holds some
  std::vector<const map_core*> stalled_;  // whose results are waited for by fibers that hold room
  map_core* mappings_ = nullptr;
  wait_list joiners_;
};

}  // namespace coir::detail

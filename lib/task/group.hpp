// A fiber's membership of a group.
#pragma once

#include "coir/detail/fiber_base.hpp"
#include "coir/detail/group_core.hpp"

namespace coir::detail {

// Owned by the link of its fiber.
struct group_core::member {
  group_core* group;
  fiber_base* fiber;
  bool holds_room = false;  // of a pool
  member* next = nullptr;
  member* prev = nullptr;

  static void ended(void* context);
  static void drop(void* context) noexcept { delete static_cast<member*>(context); }

  void unlink() noexcept;
};

}  // namespace coir::detail

// What select knows of its cases, without their types. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "coir/detail/channel_core.hpp"

namespace coir::detail {

enum class case_kind : std::uint8_t {
  channel_pop,
  channel_push,
  queue_pop,
  queue_push,
  event_set,
  fiber_done,
  readable,
  writable,
  after,      // a duration
  at,         // a deadline
  otherwise,  // at once
};

struct case_base {
  case_kind kind;
  bool closed = false;       // what it pushes to or pops from was closed
  int fd = -1;               // readable, writable
  void* target;              // channel_core, queue_core, event, fiber_base
  void* item = nullptr;      // T* to push, std::optional<T>* to pop into
  std::int64_t time_ns = 0;  // after, at

  case_base(case_kind k, void* t = nullptr) noexcept : kind(k), target(t) {}
};

// Room for the node of a case while its select waits.
struct select_place {
  alignas(16) unsigned char bytes[80];
};

struct select_set {
  case_base* const* cases;
  select_place* places;
  spin_lock** locks;  // room for one of each case
  std::size_t count;
};

// Makes one of the cases happen and returns its index. Throws as coir::select.
std::size_t choose(const select_set& set);

[[noreturn]] void bad_descriptor(const char* where, int fd);

}  // namespace coir::detail

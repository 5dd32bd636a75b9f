// The record of a fiber: everything a switch, a wait and a handle need, at the top of the fiber's stack.
//
// States (fiber_base::state):
//   ready ──run──▶ running ──park──▶ parked ──wake──▶ ready        running ──end──▶ done
// I1: a fiber in the run queue is `ready`, and in it once. Only its own thread puts it there.
// I2: a fiber runs only on `home`, from its first instruction to its last (D2).
// I3: another thread wakes a fiber only through home's inbox, and only after winning its waiter (lib/wait),
// so
//     the inbox node is free at that time.
// The first 64 bytes are all that switches, parking and waking touch.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.hpp"
#include "base/inbox.hpp"
#include "base/list.hpp"
#include "coir/detail/fiber_base.hpp"
#include "coir/detail/wait_list.hpp"
#include "context/annotate.hpp"
#include "context/stack.hpp"

namespace coir::wait {
class timeout_scope;
}  // namespace coir::wait

namespace coir::sched {

using detail::fiber_state;

using detail::carries_flow;
using detail::fiber_flag;
using detail::has_extras;
using detail::has_result;
using detail::is_main;
using detail::own_stack_size;

// What is called when a fiber has ended (lib/task/links.cpp).
struct link : base::list_node {
  void (*run)(void* context);
  void (*drop)(void* context) noexcept;
  void* context;
  std::uint64_t id;
  bool late = false;  // added when others ran already
};

struct link_list : base::list<link> {
  std::uint64_t last_id = 0;
  bool running = false;
  std::uint32_t running_in = 0;  // which process runs them
};

// What fiber::raise is to have thrown.
struct raised_error {
  std::exception_ptr error;
  std::unique_ptr<raised_error> next;
};

struct fiber : detail::fiber_base {
  std::uint64_t id = 0;
  detail::wait_list joiners;  // fibers in join(); guarded by its lock, as is the step to `done`
  base::list_node all;        // in scheduler::fibers
  // 128 bytes: all that a fiber touches which neither waits nor has a name
  context::stack stack;
  char* name = nullptr;                     // heap copy, or null
  wait::timeout_scope* timeouts = nullptr;  // innermost first
  raised_error* raised = nullptr;           // by fiber::raise, not yet thrown: the first is the next
  link_list* links = nullptr;               // on_done; guarded by joiners.lock
  void* locals = nullptr;                   // its coir::local objects: lib/task/data.hpp
  void* values = nullptr;                   // the coir::inherited ones it sees
  base::inbox_node inbox;                   // wake-ups from other threads
  std::uint32_t shield_depth = 0;
  std::uint32_t patch_off_depth = 0;  // scopes in which its calls are not patched
  bool has_signal_mask = false;       // its own, in `signal_mask` while it does not run
  std::uint64_t signal_mask = 0;
  std::uint64_t held_signals = 0;  // pending ones of the thread that it blocks, and nobody else is to have
  [[no_unique_address]] context::annotations annotations;

  fiber() noexcept {}  // member by member: zeroing the whole record costs more than a switch

  bool has(fiber_flag f) const noexcept { return (flags & f) != 0; }
  void set(fiber_flag f) noexcept { flags = static_cast<std::uint8_t>(flags | f); }
  void unset(fiber_flag f) noexcept { flags = static_cast<std::uint8_t>(flags & ~f); }

  const char* display_name() const noexcept {
    return name != nullptr ? name : has(is_main) ? "main" : "fiber";
  }
};

static_assert(offsetof(fiber, run) == 56,
              "switches, parking and waking must touch one cache line of the record");
static_assert(offsetof(fiber, stack) == 128, "a short life must touch two");

inline fiber* record(detail::fiber_base* f) noexcept {
  return static_cast<fiber*>(f);
}
inline const fiber* record(const detail::fiber_base* f) noexcept {
  return static_cast<const fiber*>(f);
}

// The record that a node of scheduler::fibers belongs to.
inline fiber* fiber_of(base::list_node* n) noexcept {
  return reinterpret_cast<fiber*>(reinterpret_cast<char*>(n) - offsetof(fiber, all));
}

}  // namespace coir::sched

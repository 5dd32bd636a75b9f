// What queue<T>, channel<T> and select share, without their types. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "coir/detail/switch.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir::detail {

enum class transfer : std::uint8_t { done, closed, timed_out, again };

// Moves the item at `from` (a T) into `to` (a std::optional<T>).
using move_item = void (*)(void* from, void* to);

template <class T>
void move_into_slot(void* from, void* to) {
  static_cast<std::optional<T>*>(to)->emplace(std::move(*static_cast<T*>(from)));
}

inline constexpr std::int64_t at_once_ns = -1;  // a deadline that never waits

// Where pushers and poppers find each other.
class exchange_core {
 public:
  void close() noexcept;
  bool closed() const noexcept;

 protected:
  explicit exchange_core(move_item move) noexcept : move_(move) {}

  friend struct select_core;
  mutable wait_list poppers_;  // its lock guards everything here and in what derives from it
  wait_list pushers_;
  bool closed_ = false;
  move_item move_;
};

// A rendezvous: a push and a pop meet.
class channel_core : public exchange_core {
 public:
  explicit channel_core(move_item move) noexcept : exchange_core(move) {}
  transfer push(void* item, std::int64_t deadline_ns);
  transfer pop(void* slot, std::int64_t deadline_ns);
  // The same without a deadline, inlined as coir/detail/switch.hpp says.
  transfer push(void* item) {
    for (;;) {
      wait_frame frame;
      const switch_request r = begin_push(frame, item);
      switch_fibers(r);
      const transfer t = finish(frame, pushers_, r);
      if (__builtin_expect(t != transfer::again, 1)) return t;
    }
  }
  transfer pop(void* slot) {
    for (;;) {
      wait_frame frame;
      const switch_request r = begin_pop(frame, slot);
      switch_fibers(r);
      const transfer t = finish(frame, poppers_, r);
      if (__builtin_expect(t != transfer::again, 1)) return t;
    }
  }

 private:
  friend struct select_core;
  // With the lock held: `again` if it would have to wait.
  transfer push_locked(void* item);
  transfer pop_locked(void* slot);
  transfer try_push(void* item, std::int64_t deadline_ns);
  transfer try_pop(void* slot, std::int64_t deadline_ns);
  switch_request begin_push(wait_frame& frame, void* item);
  switch_request begin_pop(wait_frame& frame, void* slot);
  transfer finish(wait_frame& frame, wait_list& list, const switch_request& r);
};

}  // namespace coir::detail

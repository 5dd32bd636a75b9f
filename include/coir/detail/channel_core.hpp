// What queue<T> and channel<T> share, without their types. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "coir/detail/switch.hpp"
#include "coir/detail/wait_list.hpp"

namespace coir::detail {

enum class transfer : std::uint8_t { done, closed, timed_out, again };

// Moves the item at `from` (a T) into `to` (a std::optional<T>).
using move_item = void (*)(void* from, void* to);

inline constexpr std::int64_t at_once_ns = -1;  // a deadline that never waits

// A rendezvous: a push and a pop meet.
class channel_core {
 public:
  explicit channel_core(move_item move) noexcept : move_(move) {}
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
  void close() noexcept;
  bool closed() const noexcept;

 private:
  transfer try_push(void* item, std::int64_t deadline_ns);
  transfer try_pop(void* slot, std::int64_t deadline_ns);
  switch_request begin_push(wait_frame& frame, void* item);
  switch_request begin_pop(wait_frame& frame, void* slot);
  transfer finish(wait_frame& frame, wait_list& list, const switch_request& r);

  move_item move_;
  mutable wait_list pushers_;  // its lock guards both lists and closed_
  wait_list poppers_;
  bool closed_ = false;
};

// Where a queue keeps its items; called with the queue's lock held, so an item's move may not wait.
class item_store {
 public:
  virtual void put(void* item) = 0;   // moves the T in
  virtual void take(void* slot) = 0;  // moves one out into the std::optional<T>
  virtual std::size_t size() const noexcept = 0;

 protected:
  ~item_store() = default;
};

class queue_core {
 public:
  // Throws std::invalid_argument if `capacity` is 0.
  queue_core(item_store& store, move_item move, std::size_t capacity);
  transfer push(void* item, std::int64_t deadline_ns);
  transfer pop(void* slot, std::int64_t deadline_ns);
  void close() noexcept;
  bool closed() const noexcept;
  std::size_t size() const noexcept;
  void task_done();
  bool join(std::int64_t deadline_ns);

 private:
  transfer try_push(void* item, std::int64_t deadline_ns);
  transfer try_pop(void* slot, std::int64_t deadline_ns);

  item_store& store_;
  move_item move_;
  std::size_t capacity_;
  mutable wait_list poppers_;  // its lock guards everything here
  wait_list pushers_;
  wait_list joiners_;
  std::size_t unfinished_ = 0;
  bool closed_ = false;
};

}  // namespace coir::detail

// Deadlines of one thread, to the nanosecond and never early, at O(1) for the many that are far away or
// cancelled.
//
// A hierarchical timing wheel (Varghese and Lauck, 1987) whose finest slots are 131 µs wide holds what is
// far. The slot the time has reached is sorted once and fired from its end; what is added for a time already
// reached goes to a small heap beside it. I1: every timer of a tick <= cursor_ is in `run_` or `heap_`, every
// other one in a slot. I2: a timer of level 0 shares all bits of its tick above the lowest ten with cursor_;
// one of level k differs from
//     cursor_ first in the k-th group of six bits above those.
// Slots are arrays that hold the deadline beside the pointer, so that sorting and moving hardly touch the
// timers, which lie scattered over as many stacks. Rejected: one heap for all (each pop of 100,000 entries
// misses the cache seventeen times), linked slots (each step a cache miss, and the neighbours with it), a
// wheel alone (its ticks round deadlines to slots).
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.hpp"
#include "base/list.hpp"

namespace coir::sched {

struct timer : base::list_node {
  base::nanoseconds when = 0;
  void (*fire)(timer* self) noexcept = nullptr;  // the timer is no longer armed when it is called
  std::uint32_t index = 0;                       // within `place`
  std::uint16_t place = idle;                    // a slot's number, or one of these:

  static constexpr std::uint16_t idle = 0xffff, in_heap = 0xfffe, in_run = 0xfffd, homeless = 0xfffc;
  bool armed() const noexcept { return place != idle; }
};

class timer_wheel {
 public:
  bool empty() const noexcept { return count_ == 0; }
  std::size_t size() const noexcept { return count_; }

  // `t` is not armed; t->when is set. `now` is any recent time. Never fails.
  void add(timer* t, base::nanoseconds now) noexcept;
  // `t` is armed.
  void remove(timer* t) noexcept;
  // Fires everything due at `now`, in order of deadline.
  void fire_due(base::nanoseconds now) noexcept;
  // No timer is due before the returned time; `never` when there is none. It may be earlier than the first
  // deadline.
  base::nanoseconds next() const noexcept;

 private:
  static constexpr int tick_shift = 17, fine_bits = 10, group_bits = 6,
                       levels = 6;  // besides the fine level 0
  static constexpr int fine_slots = 1 << fine_bits, group_slots = 1 << group_bits;
  static constexpr int all_slots = fine_slots + levels * group_slots;

  struct entry {
    base::nanoseconds when;
    timer* t;
  };
  struct slot {
    std::vector<entry> entries;
    base::nanoseconds least = base::never;  // none is due earlier
  };

  static std::uint64_t tick_of(base::nanoseconds when) noexcept {
    return static_cast<std::uint64_t>(when) >> tick_shift;
  }
  static int shift_of(int level) noexcept { return level == 0 ? 0 : fine_bits + group_bits * (level - 1); }
  static int number_of(int level, std::uint64_t tick) noexcept {
    if (level == 0) return static_cast<int>(tick & (fine_slots - 1));
    return fine_slots + (level - 1) * group_slots +
           static_cast<int>(tick >> shift_of(level) & (group_slots - 1));
  }

  void place(timer* t) noexcept;
  void put_in_slot(timer* t, int number);
  void mark(int number, bool occupied) noexcept;
  // The earliest occupied slot: its level and the tick it begins at. False if all are empty.
  bool first_slot(int& level, std::uint64_t& tick) const noexcept;
  void open_slot(int level, std::uint64_t tick) noexcept;
  timer* pop_due(base::nanoseconds now) noexcept;
  void fire_homeless(base::nanoseconds now) noexcept;

  void push_heap(timer* t);
  void remove_from_heap(std::size_t index) noexcept;
  void sift_up(std::size_t index, entry e) noexcept;
  void sift_down(std::size_t index, entry e) noexcept;
  void put(std::size_t index, entry e) noexcept {
    heap_[index] = e;
    e.t->index = static_cast<std::uint32_t>(index);
  }

  std::uint64_t cursor_ = 0;
  std::size_t count_ = 0;
  std::vector<entry> run_;          // the open slot, latest first; a removed timer leaves a null
  std::vector<entry> heap_;         // earliest first
  std::uint64_t fine_summary_ = 0;  // which words of fine_ are not zero
  std::uint64_t fine_[fine_slots / 64] = {};
  std::uint64_t groups_[levels] = {};
  slot slots_[all_slots];
  base::list<timer> homeless_;  // no memory for an entry: looked through one by one
};

}  // namespace coir::sched

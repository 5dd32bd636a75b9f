#include "sched/timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace coir::sched {

void timer_wheel::add(timer* t, base::nanoseconds now) noexcept {
  if (count_++ == 0) cursor_ = std::max(cursor_, tick_of(now));
  place(t);
}

void timer_wheel::place(timer* t) noexcept {
  const std::uint64_t tick = tick_of(t->when);
  try {
    if (tick <= cursor_) return push_heap(t);
    const std::uint64_t difference = tick ^ cursor_;
    if (difference >> fine_bits == 0) return put_in_slot(t, number_of(0, tick));
    const int highest = 63 - std::countl_zero(difference);
    put_in_slot(t, number_of(1 + (highest - fine_bits) / group_bits, tick));
  } catch (const std::bad_alloc&) {
    t->place = timer::homeless;
    homeless_.push_back(t);
  }
}

void timer_wheel::put_in_slot(timer* t, int number) {
  slot& s = slots_[number];
  s.entries.push_back({t->when, t});
  t->index = static_cast<std::uint32_t>(s.entries.size() - 1);
  t->place = static_cast<std::uint16_t>(number);
  s.least = std::min(s.least, t->when);
  mark(number, true);
}

void timer_wheel::mark(int number, bool occupied) noexcept {
  std::uint64_t& word =
      number < fine_slots ? fine_[number / 64] : groups_[(number - fine_slots) / group_slots];
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  word = occupied ? word | bit : word & ~bit;
  if (number >= fine_slots) return;
  const std::uint64_t summary_bit = std::uint64_t{1} << (number / 64);
  fine_summary_ = word != 0 ? fine_summary_ | summary_bit : fine_summary_ & ~summary_bit;
}

void timer_wheel::remove(timer* t) noexcept {
  --count_;
  switch (t->place) {
    case timer::in_heap:
      remove_from_heap(t->index);
      break;
    case timer::in_run:
      run_[t->index].t = nullptr;
      while (!run_.empty() && run_.back().t == nullptr) run_.pop_back();
      break;
    case timer::homeless:
      t->unlink();
      break;
    default: {
      slot& s = slots_[t->place];
      const entry last = s.entries.back();
      s.entries[t->index] = last;
      last.t->index = t->index;
      s.entries.pop_back();
      if (s.entries.empty()) {
        s.least = base::never;
        mark(t->place, false);
      }
    }
  }
  t->place = timer::idle;
}

bool timer_wheel::first_slot(int& level, std::uint64_t& tick) const noexcept {
  // By I2 every occupied slot of a level lies after the cursor's own, and those of a finer level before those
  // of a coarser one.
  if (fine_summary_ != 0) {
    const int word = std::countr_zero(fine_summary_);
    level = 0;
    tick = cursor_ >> fine_bits << fine_bits |
           static_cast<std::uint64_t>(word * 64 + std::countr_zero(fine_[word]));
    return true;
  }
  for (level = 1; level <= levels; ++level) {
    if (groups_[level - 1] == 0) continue;
    const int shift = shift_of(level), above = shift + group_bits;
    tick = cursor_ >> above << above | static_cast<std::uint64_t>(std::countr_zero(groups_[level - 1]))
                                           << shift;
    return true;
  }
  return false;
}

void timer_wheel::open_slot(int level, std::uint64_t tick) noexcept {
  const int number = number_of(level, tick);
  slot& s = slots_[number];
  cursor_ = tick;
  mark(number, false);
  s.least = base::never;
  if (level == 0 && run_.empty()) {
    run_.swap(s.entries);  // capacity and all
    std::sort(run_.begin(), run_.end(), [](const entry& a, const entry& b) { return a.when > b.when; });
    for (std::size_t i = 0; i < run_.size(); ++i) {
      run_[i].t->index = static_cast<std::uint32_t>(i);
      run_[i].t->place = timer::in_run;
    }
    return;
  }
  std::vector<entry> opened;
  opened.swap(s.entries);
  for (const entry& e : opened) place(e.t);
}

timer* timer_wheel::pop_due(base::nanoseconds now) noexcept {
  timer* t = nullptr;
  const bool from_heap = !heap_.empty() && (run_.empty() || heap_[0].when < run_.back().when);
  if (from_heap) {
    if (heap_[0].when > now) return nullptr;
    t = heap_[0].t;
    remove_from_heap(0);
  } else {
    if (run_.empty() || run_.back().when > now) return nullptr;
    t = run_.back().t;
    do {
      run_.pop_back();
    } while (!run_.empty() && run_.back().t == nullptr);
    if (run_.size() > 4) __builtin_prefetch(run_[run_.size() - 4].t, 1);
  }
  return t;
}

void timer_wheel::fire_due(base::nanoseconds now) noexcept {
  const std::uint64_t now_tick = tick_of(now);
  if (!homeless_.empty()) fire_homeless(now);
  for (;;) {
    while (timer* t = pop_due(now)) {
      t->place = timer::idle;
      --count_;
      t->fire(t);
    }
    int level;
    std::uint64_t tick;
    if (!first_slot(level, tick) || tick > now_tick) break;
    open_slot(level, tick);
  }
  if (count_ == 0) cursor_ = std::max(cursor_, now_tick);
}

void timer_wheel::fire_homeless(base::nanoseconds now) noexcept {
  base::list<timer> all;
  all.append(homeless_);
  while (timer* t = all.pop_front()) {
    if (t->when > now) {
      place(t);
      continue;
    }
    t->place = timer::idle;
    --count_;
    t->fire(t);
  }
}

base::nanoseconds timer_wheel::next() const noexcept {
  base::nanoseconds first = base::never;
  if (!run_.empty()) first = run_.back().when;
  if (!heap_.empty()) first = std::min(first, heap_[0].when);
  int level;
  std::uint64_t tick;
  if (first == base::never && first_slot(level, tick)) first = slots_[number_of(level, tick)].least;
  if (!homeless_.empty())
    first = std::min(first, static_cast<base::nanoseconds>((cursor_ + 1) << tick_shift));
  return first;
}

void timer_wheel::push_heap(timer* t) {
  heap_.push_back({t->when, t});
  t->place = timer::in_heap;
  sift_up(heap_.size() - 1, {t->when, t});
}

void timer_wheel::remove_from_heap(std::size_t index) noexcept {
  const entry last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && heap_[(index - 1) / 2].when > last.when)
    sift_up(index, last);
  else
    sift_down(index, last);
}

void timer_wheel::sift_up(std::size_t index, entry e) noexcept {
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (heap_[parent].when <= e.when) break;
    put(index, heap_[parent]);
    index = parent;
  }
  put(index, e);
}

void timer_wheel::sift_down(std::size_t index, entry e) noexcept {
  const std::size_t size = heap_.size();
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= size) break;
    if (child + 1 < size && heap_[child + 1].when < heap_[child].when) ++child;
    if (heap_[child].when >= e.when) break;
    put(index, heap_[child]);
    index = child;
  }
  put(index, e);
}

}  // namespace coir::sched

// The fibers of one thread that are ready, first come first served.
//
// A ring of pointers, not a list through the records: who is next but six is known without reading records
// that have left the cache, so that they can be asked for in time (scheduler::look_ahead).
// I1: there is a place for every fiber that may become ready: it is reserved when the fiber is made, where
//     running out of memory can still be reported, so `push` never fails.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace coir::sched {

struct fiber;

class run_queue {
 public:
  run_queue() : ring_(new fiber*[smallest]()), mask_(smallest - 1) {}

  // Makes sure that `reserve` finds a place. Throws std::bad_alloc.
  void make_room() {
    if (__builtin_expect(reserved_ > mask_, 0)) grow();
  }
  // A place for one more fiber, after make_room.
  void reserve() noexcept { ++reserved_; }
  void give_up() noexcept { --reserved_; }

  bool empty() const noexcept { return front_ == nullptr; }

  void push(fiber* f) noexcept {
    if (front_ == nullptr)
      front_ = f;
    else
      ring_[last_++ & mask_] = f;
  }
  // Not empty.
  fiber* pop() noexcept {
    fiber* f = front_;
    front_ = first_ != last_ ? ring_[first_++ & mask_] : nullptr;
    return f;
  }
  // pop, and push of `f`; not empty.
  fiber* exchange(fiber* f) noexcept {
    fiber* popped = front_;
    if (first_ == last_) {
      front_ = f;
    } else {
      ring_[last_++ & mask_] = f;
      front_ = ring_[first_++ & mask_];
    }
    return popped;
  }

  // The one that was pushed last; not empty.
  fiber* take_back() noexcept {
    return first_ != last_ ? ring_[--last_ & mask_] : std::exchange(front_, nullptr);
  }
  // Ahead of all others.
  void push_front(fiber* f) noexcept {
    if (front_ != nullptr) ring_[--first_ & mask_] = front_;
    front_ = f;
  }

  std::uint32_t size() const noexcept { return front_ == nullptr ? 0 : last_ - first_ + 1; }

  // What the next pop gives; null if there is nothing.
  fiber* front() const noexcept { return front_; }
  // What stands `n` >= 1 places behind `front`; anything that was here once, or null, if nothing does.
  fiber* behind(std::uint32_t n) const noexcept { return ring_[(first_ + n - 1) & mask_]; }

  void clear() noexcept {
    front_ = nullptr;
    first_ = last_ = 0;
  }

 private:
  static constexpr std::uint32_t smallest = 64;

  void grow() {
    const std::uint32_t room = 2 * (mask_ + 1), count = last_ - first_;
    std::unique_ptr<fiber*[]> wider(new fiber*[room]());
    for (std::uint32_t i = 0; i < count; ++i) wider[i] = behind(i + 1);
    ring_ = std::move(wider);
    mask_ = room - 1;
    first_ = 0;
    last_ = count;
  }

  // The next one, apart from the ring: in hand-overs it is the only one. Null: the ring is empty too.
  fiber* front_ = nullptr;
  std::unique_ptr<fiber*[]> ring_;
  std::uint32_t mask_;
  std::uint32_t first_ = 0, last_ = 0;  // of the places, without wrapping
  std::uint32_t reserved_ = 0;
};

}  // namespace coir::sched

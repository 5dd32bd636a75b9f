// Fiber stacks: reserved large, committed as they are used, each with a guard below it, and pooled.
//
// Called by lib/sched only. A pool belongs to one thread; a stack is plain memory and may be released into
// the pool of another thread than the one it came from.
//
//   low                                                                           high
//   | guard (>= 128 KiB) | usable: frames grow down from the control block ... | record, payload | colour |
//
// I1: every stack handed out has its guard. It is installed when the stack is first carved from its slab and
//     survives MADV_DONTNEED, so it costs nothing afterwards. Its size: docs/adr/0006-stack-guards.md.
// I2: `free` is last in, first out, so the stacks at its bottom are the ones longest unused: only they are
// trimmed. The distance between stacks is an odd number of pages, so that their tops spread over the sets of
// the TLB, and each top is coloured (see `colour`), so that control blocks spread over the sets of the
// caches. Rejected: one mmap per stack (two mappings each; vm.max_map_count ends it at 32,753), and trimming
// on release (a madvise per fiber end costs more than the fiber).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.hpp"
#include "coir/detail/fiber_base.hpp"
#include "sys/settings.hpp"

namespace coir::context {

using detail::usual_stack_size;
using sys::largest_stack_size;
using sys::smallest_stack_size;

struct stack {
  char* low = nullptr;  // lowest usable byte; the guard ends here
  std::size_t size = 0;
  bool fresh = false;  // zero-filled: never used, or its memory was returned since

  char* top() const noexcept { return low + size; }
};

// Rounds up to whole pages.
// Throws std::invalid_argument when `bytes` is outside smallest_stack_size … largest_stack_size.
// `asked_by` starts the text.
std::size_t checked_stack_size(std::size_t bytes, const char* asked_by);

// What fibers get that ask for no size: usual_stack_size, COIR_STACK_SIZE, or what set_default_stack_size
// said last. Whole pages.
extern std::atomic<std::size_t> default_size;
// COIR_STACK_SIZE; what the program said before counts more. 0: it is not set.
void obey_environment(std::size_t bytes) noexcept;

// Whether `address` lies among coir's stacks: in any of them, in a guard, or in the memory kept free below.
// Async-signal-safe.
bool among_stacks(const void* address) noexcept;

// The bytes left unused at the top of a stack to spread tops over cache sets: 0 … 1984 in steps of a line.
// Neighbouring stacks lie an odd number of pages apart, so the page number runs through all 32 values.
inline std::size_t colour(const char* low) noexcept {
  return (reinterpret_cast<std::uintptr_t>(low) >> 12) % 32 * 64;
}

// The guard's size below a stack of `size` usable bytes.
std::size_t guard_size(std::size_t size) noexcept;

// The stacks of one size.
class stack_class {
 public:
  explicit stack_class(std::size_t size) noexcept : size_(size) {}

  // A guarded stack. Throws std::system_error naming the limit met when memory or mappings run out.
  stack allocate() {
    if (__builtin_expect(free_.empty(), 0)) refill();
    char* low = free_.back();
    free_.pop_back();
    if (free_.size() < least_free_) least_free_ = free_.size();
    const bool fresh = (reinterpret_cast<std::uintptr_t>(low) & fresh_mark) != 0;
    return {fresh ? low - fresh_mark : low, size_, fresh};
  }

  void release(char* low) noexcept {
    if (__builtin_expect(free_.size() == free_.capacity(), 0) && !grow()) return;
    free_.push_back(low);
  }

  // The top of a stack that one of the next calls of allocate will return, to be fetched into the cache; null
  // if that is not known.
  const char* soon() const noexcept {
    constexpr std::size_t calls = 8;
    if (free_.size() < calls) return nullptr;
    const char* low = free_[free_.size() - calls];
    return low + size_ - colour(low);
  }

  std::size_t size() const noexcept { return size_; }
  // Whether memory could be returned at some time, beyond `watermark` stacks.
  bool has_surplus(std::size_t watermark) const noexcept { return free_.size() > watermark + trimmed_; }

  // Returns the memory of stacks that were free during the whole last period, beyond `watermark` of them.
  // At most `most` per call, so that the caller's thread never stops for long. True if it stopped there.
  bool trim(std::size_t watermark, std::size_t most) noexcept;

  // Gives all free stacks to the depot that all threads share.
  void give_back() noexcept;

 private:
  void refill();
  bool grow() noexcept;

  // Stacks are page-aligned; a fresh one is kept as the address one above. Who knows that a stack is fresh
  // need not read it before writing, which would cost a second page fault.
  static constexpr std::uintptr_t fresh_mark = 1;

  std::size_t size_;
  std::vector<char*> free_;
  std::size_t least_free_ = 0;  // smallest number of free stacks since the last trim
  std::size_t trimmed_ = 0;     // this many at the bottom of free_ hold no memory
};

class stack_pool {
 public:
  stack_pool() noexcept;
  ~stack_pool();

  stack allocate(std::size_t size) {
    if (__builtin_expect(size == usual_stack_size, 1)) return usual_.allocate();
    return class_of(size).allocate();
  }

  // The same for a stack of the default size.
  const char* soon() const noexcept { return usual_.soon(); }

  void release(stack s) noexcept {
    if (__builtin_expect(s.size == usual_stack_size, 1))
      usual_.release(s.low);
    else
      release_other(s);
  }

  // Whether a call of `tick` may have memory to return some time soon.
  bool wants_tick() const noexcept;
  // Trims once per `period`; cheap in between.
  void tick(base::nanoseconds now) noexcept;

  static constexpr base::nanoseconds period = 1'000'000'000;
  static constexpr std::size_t watermark = 256;  // free stacks that keep their memory for good

 private:
  stack_class& class_of(std::size_t size);
  void release_other(stack s) noexcept;

  stack_class usual_;
  std::vector<stack_class> others_;
  base::nanoseconds next_trim_ = 0;
};

// The number of stacks ever carved in this process and not unmapped; for error texts and tests.
std::size_t stacks_carved() noexcept;

// Around a fork, on the forking thread: no other thread is among the shared stacks when the child is made.
void lock_for_fork() noexcept;
void unlock_after_fork() noexcept;

}  // namespace coir::context

// Function-local statics (Itanium C++ ABI, 3.3.3: __cxa_guard_acquire and the like), for every thread.
//
// The C++ library's own would take a second fiber's entry for the first one's recursion. The states are those
// of libstdc++, so that its code understands them where it was linked in statically.
#include <linux/futex.h>

#include <climits>
#include <exception>

#include "posix/locks.hpp"
#include "sys/raw.hpp"
#include "wait/lot.hpp"

namespace coir::posix {
namespace {

using wait::lot;

// libstdc++ throws its like, of a type that it does not export.
struct recursive_initialisation : std::exception {
  const char* what() const noexcept override { return "a function-local static is needed to make itself"; }
};

enum : int { made = 1, being_made = 1 << 8, waited_for = 1 << 16 };

void end(int* guard, int state) noexcept {
  const int was = std::atomic_ref<int>(*guard).exchange(state, std::memory_order_seq_cst);
  if ((was & waited_for) == 0) return;
  lot::wake(guard, lot::all);
  sys::raw(SYS_futex, sys::word(guard), FUTEX_WAKE_PRIVATE, INT_MAX);
}

}  // namespace

bool guard_acquire(int* guard) {
  const std::atomic_ref<int> state(*guard);
  int seen = state.load(std::memory_order_acquire);
  for (;;) {
    if ((seen & made) != 0) return false;
    if (seen == 0) {
      if (state.compare_exchange_strong(seen, being_made, std::memory_order_acq_rel)) return true;
      continue;
    }
    const bool fibers = detail::cooperative != 0;
    if (!fibers && detail::single_threaded()) throw recursive_initialisation();
    const int waiting = seen | waited_for;
    if (seen != waiting && !state.compare_exchange_strong(seen, waiting, std::memory_order_acq_rel)) continue;
    if (fibers) {
      wait::lot_waiter w(*scheduler::existing());
      lot::park(guard, w, "static initialisation", base::never, wait::mode::uninterruptible,
                [&] { return state.load(std::memory_order_seq_cst) == waiting; });
      if (__builtin_expect(wait::about_to_jump(*w.fiber), 0)) return false;
    } else {
      sys::raw(SYS_futex, sys::word(guard), FUTEX_WAIT_PRIVATE, waiting, 0);
    }
    seen = state.load(std::memory_order_acquire);
  }
}

void guard_release(int* guard) noexcept {
  end(guard, made);
}
void guard_abort(int* guard) noexcept {
  end(guard, 0);
}

}  // namespace coir::posix

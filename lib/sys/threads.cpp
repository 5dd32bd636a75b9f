#include "coir/detail/threads.hpp"

#include "sys/raw.hpp"

namespace coir::detail {

void spin_wait(unsigned round) noexcept {
  if (round % 64 == 63) {
    sys::raw(SYS_sched_yield);
    return;
  }
  pause();
}

void stay_away() noexcept {
  for (int i = 0; i < 24; ++i) pause();
}

}  // namespace coir::detail

#include "coir/detail/threads.hpp"

#include "sys/raw.hpp"

namespace coir::detail {

void spin_wait(unsigned round) noexcept {
  if (round % 64 == 63) {
    sys::raw(SYS_sched_yield);
    return;
  }
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace coir::detail

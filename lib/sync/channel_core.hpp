// What push and pop of a channel do with its lock held, for channel_core.cpp and select.cpp.
#pragma once

#include "sync/transfer.hpp"

namespace coir::detail {

[[gnu::always_inline]] inline transfer channel_core::push_locked(void* item) {
  if (__builtin_expect(closed_, 0)) return transfer::closed;
  wait::queued_waiter* popper = wait::claim_first_locked(poppers_);
  if (popper == nullptr) return transfer::again;
  sync::hand_over(move_, item, popper->item, *popper);
  popper->wake();
  return transfer::done;
}

[[gnu::always_inline]] inline transfer channel_core::pop_locked(void* slot) {
  if (wait::queued_waiter* pusher = wait::claim_first_locked(pushers_)) {
    sync::hand_over(move_, pusher->item, slot, *pusher);
    pusher->wake();
    return transfer::done;
  }
  return closed_ ? transfer::closed : transfer::again;
}

}  // namespace coir::detail

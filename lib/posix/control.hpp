// Switching the patch on where it would be off; off: coir::patch::scoped_off, and COIR_PATCH
// (sys/settings.hpp).
#pragma once

#include <pthread.h>

namespace coir::posix {

// At start-up, by the process's first thread. COIR_PATCH_ALWAYS=1: its calls go the cooperative way even
// while it has one fiber only; if the environment is wrong, the process ends with a message.
void obey_environment() noexcept;

// With COIR_PATCH_ALWAYS=1 wraps what a new thread is to run, so that it begins by the same; else, or if
// there is no memory, leaves both as they are. `Result` is what a thread's function returns.
template <class Result>
struct thread_start {
  Result (*run)(void* argument);
  void* argument;
};
void wrap_thread(thread_start<void*>& start) noexcept;
void wrap_thread(thread_start<int>& start) noexcept;
// After the thread could not be started.
void unwrap_thread(const thread_start<void*>& start, const void* argument) noexcept;
void unwrap_thread(const thread_start<int>& start, const void* argument) noexcept;

}  // namespace coir::posix

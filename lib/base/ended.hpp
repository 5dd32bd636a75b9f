// What outlives a thread's scheduler.
#pragma once

namespace coir::base {

// The main fiber of the scheduler that this thread had last, or null: only an address. What the thread locked
// as that fiber it still holds in its last destructors.
inline constinit thread_local const void* ended_main __attribute__((tls_model("initial-exec"))) = nullptr;

}  // namespace coir::base

// Calls that cannot be made without blocking a thread, made on a helper thread while the fiber is parked.
//
// Helpers are started as needed, at most 64 and one for each endless call, and retire when idle for a
// twentieth of a second: a program of one thread is one again soon (fork, unshare, setns look). Where the
// fiber is alone on its thread, and nothing can end its wait, there is none: the call is made where it is.
// The wait is not interrupted: nobody can stop a thread inside the kernel, and the call's arguments live on
// the fiber's stack. Calls that may be given up: `attend` of elsewhere.hpp. Signals by which a call tells of
// its failure (SIGPIPE, SIGXFSZ) go to the fiber's thread.
#pragma once

#include "posix/descriptor.hpp"
#include "wait/landing.hpp"
#include "wait/workers.hpp"

namespace coir::posix {

struct offloaded : wait::thread_job {
  long (*run)(offloaded* self) noexcept = nullptr;
  wait::waiter* who = nullptr;
  // On the helper, instead of waking `who`; may free the job.
  void (*finished)(offloaded* self) noexcept = nullptr;
  long result = 0;
  std::uint64_t signals = 0;  // what the call raised on the helper; for the fiber's thread
};

// Calls `f` on the fiber's own thread.
template <class F>
void right_here(scheduler& s, F f, bool may_last = false) noexcept {
  const wait::direct_call during(s, may_last);
  f();
}

// Runs `job` on a helper and returns its result; runs it here if no thread can be had.
// `endless`: it may wait for what other such calls are to bring about, so a helper is started if none is
// idle, whatever their number.
long offload(scheduler& s, const char* name, offloaded& job, bool endless = false) noexcept;

// The same without waiting: job.finished tells of the end. False if no thread can be had: nothing happens.
bool send_off(offloaded& job, bool endless) noexcept;

// Runs `f()`, which returns a kernel answer (a result or -errno).
template <class F>
long offload_call(scheduler& s, const char* name, F f, bool endless = false) noexcept {
  struct bound : offloaded {
    F* f;
  } job;
  job.f = &f;
  job.run = [](offloaded* self) noexcept -> long { return (*static_cast<bound*>(self)->f)(); };
  return offload(s, name, job, endless);
}

}  // namespace coir::posix

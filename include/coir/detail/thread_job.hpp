// Work for one of coir's threads (lib/wait/workers.hpp). Internal.
#pragma once

namespace coir::detail {

struct thread_job {
  void (*on_thread)(thread_job* self) noexcept = nullptr;  // may free the job
  // Instead, on the thread of another submitter: no thread could be started for it. Null: on_thread, there.
  void (*refused)(thread_job* self) noexcept = nullptr;
  // Of the pool: its neighbours in the queue, and whether it is there.
  thread_job* next_job = nullptr;
  thread_job* previous_job = nullptr;
  bool queued = false;
  bool endless = false;  // it may wait for what other such jobs are to bring about
};

}  // namespace coir::detail

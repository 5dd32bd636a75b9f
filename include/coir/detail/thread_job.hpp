// Work for one of coir's threads (lib/wait/workers.hpp). Internal.
#pragma once

namespace coir::detail {

struct thread_job {
  void (*on_thread)(thread_job* self) noexcept = nullptr;  // may free the job
  thread_job* next_job = nullptr;
  bool endless = false;  // it may wait for what other such jobs are to bring about
};

}  // namespace coir::detail

#include "coir/offload.hpp"

#include <pthread.h>

#include <system_error>

#include "wait/interrupt.hpp"
#include "wait/workers.hpp"

namespace coir::detail {
namespace {

// Not the helpers of libc's calls (lib/posix/offload.cpp): those are not to wait for computations, and have
// small stacks.
constinit wait::workers helpers("coir-offload", 64, 10'000'000'000, 0);

const bool helpers_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] { helpers.forget_in_child(); }) == 0;

void do_job(thread_job* next) noexcept {
  auto* job = static_cast<offload_job*>(next);
  auto* who = static_cast<wait::waiter*>(job->who);
  job->call(job);
  helpers.nearly_done();
  if (who->claim(wait::outcome::notified)) who->wake();
}

}  // namespace

void offload(offload_job& job) {
  sched::scheduler* s = sched::scheduler::existing();
  if (s == nullptr || (wait::workers::here() != nullptr && s->live() == 0)) return job.call(&job);
  wait::begin_wait(*s);
  wait::waiter w(*s);
  job.who = &w;
  job.on_thread = do_job;
  if (helpers.submit(job) != wait::workers::answer::queued)
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "coir::offload: starting a thread");
  wait::park(w, "offload", wait::mode::uninterruptible);
}

void throw_if_interrupted() {
  sched::scheduler* s = sched::scheduler::existing();
  if (s != nullptr) wait::throw_if_interrupted(*s->current());
}

}  // namespace coir::detail

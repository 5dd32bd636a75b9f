#include "task/worker.hpp"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include <string>

#include "base/raw.hpp"
#include "coir/detail/process_pool_core.hpp"
#include "coir/inspect.hpp"
#include "task/messages.hpp"
#include "task/watch.hpp"

namespace coir::task {
namespace {

// Fibers that a call left behind go on between calls; without any, nothing of coir's is needed.
void wait_for_pool(int fd, std::uint32_t events) {
  if (inspect::fiber_count() > 1) {
    const watched socket[] = {{fd, events}};
    wait_any(socket, "process pool");
  } else {
    pollfd p = {fd, static_cast<short>(events), 0};
    base::raw(SYS_ppoll, base::word(&p), 1, 0, 0, 8);
  }
}

std::string outcome_of(const message& job, const std::string& input) {
  try {
    std::string outcome(1, detail::outcome_value);
    reinterpret_cast<detail::job_function>(job.function)(input, outcome);
    return outcome;
  } catch (...) {
    return detail::encode_exception();
  }
}

}  // namespace

void work(int fd) noexcept {
  const long self = base::raw(SYS_getpid);
  message job;
  std::string bytes;
  while (receive_header(fd, job, wait_for_pool) && receive_bytes(fd, job, bytes, wait_for_pool)) {
    bytes = outcome_of(job, bytes);
    ::fflush(stdout);                          // the process ends without
    if (base::raw(SYS_getpid) != self) break;  // the call forked, and its child returned too
    if (!send_message(fd, {job.number}, bytes, wait_for_pool)) break;
  }
  base::raw(SYS_exit_group, 0);
  __builtin_unreachable();
}

}  // namespace coir::task

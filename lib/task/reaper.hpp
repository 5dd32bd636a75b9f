// Children whose handles are gone: a thread of coir's own waits for their ends, so that none stays a zombie.
// It runs while there are any.
#pragma once

#include <sys/types.h>

namespace coir::task {

// Takes over a child of this process and its pidfd (-1: none). False, and nothing happened, if there is no
// memory to be had.
bool leave_to_reaper(pid_t pid, int pidfd) noexcept;

}  // namespace coir::task

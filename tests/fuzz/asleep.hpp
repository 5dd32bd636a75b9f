// Whether anything still happens in a process, asked from outside of it.
#pragma once

#include <sys/types.h>

namespace fuzz {

// Whether all threads of the process sleep.
bool asleep(pid_t process);
// The same of a child's child, which may have ended or be no more.
bool asleep_or_over(pid_t process);

}  // namespace fuzz

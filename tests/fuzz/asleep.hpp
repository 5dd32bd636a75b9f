// Whether anything still happens in a process, asked from outside of it.
#pragma once

#include <sys/types.h>

namespace fuzz {

// Whether all threads of the process sleep; so if it has ended.
bool asleep(pid_t process);

}  // namespace fuzz

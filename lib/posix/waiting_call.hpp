// Which system calls, made as they are, would make the thread wait now.
#pragma once

namespace coir::posix {

// The name of the system call if it would, else null. `a`: its six arguments.
const char* waiting_call(long number, const long* a) noexcept;

}  // namespace coir::posix

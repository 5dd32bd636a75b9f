// Waiting for child processes; see sockets.hpp for what all twins share.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>

namespace coir::posix {

pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept;
int waitid(idtype_t type, id_t id, siginfo_t* info, int options) noexcept;
// Kills the command if the fiber is cancelled, and returns -1 with ECANCELED.
int system(const char* command) noexcept;

// (any) A child begins without a fork that coir is told of. It has the same open descriptions until it has
// closed them: what is known of sockets that were this process's alone is void.
void shared_with_child() noexcept;

// _exit: the kernel lets go of what it does for this process's threads first.
[[noreturn]] void end_process(int status) noexcept;

// (any) As libc's, and likewise; if it fails, what others wait for goes on.
int execve(const char* path, char* const* arguments, char* const* environment) noexcept;
int execvpe(const char* file, char* const* arguments, char* const* environment) noexcept;
int fexecve(int fd, char* const* arguments, char* const* environment) noexcept;
int execveat(int directory, const char* path, char* const* arguments, char* const* environment,
             int flags) noexcept;

}  // namespace coir::posix

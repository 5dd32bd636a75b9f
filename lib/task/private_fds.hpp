// Descriptors that the child of a fork must not have: it closes them, so that whoever has the other ends sees
// this process's end whatever became of its children.
#pragma once

#include <sys/types.h>

namespace coir::task {

// Moves a descriptor that a raw call just made above 0, 1 and 2, which every child has, and above most of the
// program's. Its number, or `fd` if that is -errno, or the -errno of this.
int move_up(long fd) noexcept;
// Moves it up, notes it and returns it. Throws std::bad_alloc, and closes it then.
int keep_private(int fd);
// A pair of sockets that no fork can see before they are noted. 0, or -errno. Throws std::bad_alloc.
long private_pair(int type, int (&ends)[2]);
// Closes one of those.
void close_private(int fd) noexcept;
// A fork whose child has this one all the same, and does not have it noted. As ::fork.
pid_t fork_with(int fd) noexcept;

}  // namespace coir::task

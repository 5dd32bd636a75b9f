// Descriptors that the child of a fork must not have: it closes them, so that whoever has the other ends sees
// this process's end whatever became of its children.
#pragma once

namespace coir::task {

// Notes a descriptor that was just made, and returns it. Throws std::bad_alloc, and closes it then.
int keep_private(int fd);
// Closes one of those.
void close_private(int fd) noexcept;

}  // namespace coir::task

// The life of a worker process of a pool: calls what it is told until its pool closes the socket.
#pragma once

namespace coir::task {

[[noreturn]] void work(int fd) noexcept;

}  // namespace coir::task

// Messages between a pool and a worker, on a stream socket: a header, then bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace coir::task {

struct message {
  std::uint64_t size;      // of the bytes
  std::uint64_t function;  // of a job: its address
};

// Lets time pass until the socket is ready for `events`.
using rest = void (*)(int fd, std::uint32_t events);

// Both go on until all is sent or received. False if the other side is gone. Throw what `how` throws, and
// std::bad_alloc.
bool send_message(int fd, std::uint64_t function, std::string_view bytes, rest how);
bool receive_message(int fd, message& m, std::string& bytes, rest how);

// Whether the other side has hung up, and nothing is left to receive.
bool hung_up(int fd) noexcept;

}  // namespace coir::task

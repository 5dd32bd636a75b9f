// Messages between a pool and a worker, on a stream socket: a header, then bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace coir::task {

struct message {
  std::uint64_t number;        // of the job; its answer has it too
  std::uint64_t function = 0;  // of a job: its address
  std::uint64_t size = 0;      // of the bytes
};

// Lets time pass until the socket is ready for `events`.
using rest = void (*)(int fd, std::uint32_t events);

// They go on until all is sent or received. False if the other side is gone, or is not one of ours. Throw
// what `how` throws, and std::bad_alloc.
bool send_message(int fd, message m, std::string_view bytes, rest how);
bool receive_header(int fd, message& m, rest how);
bool receive_bytes(int fd, const message& m, std::string& bytes, rest how);

// Whether the other side is there and has said nothing.
bool silent(int fd) noexcept;

}  // namespace coir::task

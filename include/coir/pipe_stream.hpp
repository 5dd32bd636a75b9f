#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace coir {

/// This side of a pipe to or from a child process (`subprocess::in`, `out`, `err`).
///
/// Reading and writing suspend the fiber only. All that wait throw coir::cancelled, timed_out or what was
/// raised, and std::system_error naming the call: EBADF if the stream is or becomes closed here, EPIPE if
/// nobody reads any more (SIGPIPE is never sent). What was read before is kept for the next read; of what was
/// to be written a part may be in the pipe. Context: one thread at a time; one fiber reads or writes, others
/// may close.
class pipe_stream {
 public:
  /// One that is closed.
  pipe_stream() noexcept = default;
  pipe_stream(const pipe_stream&) = delete;
  pipe_stream& operator=(const pipe_stream&) = delete;
  /// Closes it.
  ~pipe_stream() { close(); }

  /// Reads what is there, at most `size` bytes; 0 at the end. Suspends while there is nothing.
  std::size_t read_some(void* to, std::size_t size);
  /// The next line without its newline; empty at the end. Suspends.
  std::optional<std::string> read_line();
  /// All until the end. Suspends.
  std::string read_all();
  /// Writes all of `data`. Suspends while the pipe is full.
  void write(std::string_view data);

  /// Closes this side: a child that reads sees the end. Wakes a fiber that waits here with EBADF. Never
  /// suspends.
  void close() noexcept;
  /// Whether it is connected to a pipe.
  bool is_open() const noexcept { return fd_ >= 0; }
  /// The descriptor, which stays the stream's, close-on-exec and non-blocking; -1 if closed.
  int native_handle() const noexcept { return fd_; }

  /// Internal: takes over a non-blocking descriptor.
  void adopt(int fd) noexcept;
  /// Internal: one read of at most `most` bytes to the end of `to`, without waiting: how many, or -errno.
  long read_now(std::string& to, std::size_t most) noexcept;
  /// Internal: the same into a buffer.
  long read_now(char* to, std::size_t most) noexcept;
  /// Internal: moves what was read ahead to the end of `to`.
  void take_ahead(std::string& to);
  /// Internal: one write without waiting: how many bytes, or -errno.
  long write_now(std::string_view data) noexcept;

 private:
  bool read_ahead();

  int fd_ = -1;
  std::string ahead_;      // read by read_line
  std::size_t taken_ = 0;  // of it
};

}  // namespace coir

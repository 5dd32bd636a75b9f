// The descriptors and data that rows work with. What cannot be had ends the process: it is no observation.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <cstddef>
#include <string>
#include <utility>

namespace conformance {

// Owns a descriptor.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { close(); }

  operator int() const noexcept { return fd_; }
  // The row closes it itself, or has given it away.
  int release() noexcept { return std::exchange(fd_, -1); }
  void close() noexcept;

 private:
  int fd_ = -1;
};

// Ends the process with the call's name and errno if `r` is -1.
int must(int r, const char* what);
#define COIR_MUST(...) conformance::must(static_cast<int>(__VA_ARGS__), #__VA_ARGS__)

// Two connected sockets, or the reading (a) and the writing (b) end of a pipe.
struct both_ends {
  descriptor a, b;
};

enum class kind { tcp, unix_stream, pipe, unix_datagram, unix_packets, udp };
const char* name_of(kind k);
both_ends make(kind k);
inline constexpr kind streams[] = {kind::tcp, kind::unix_stream, kind::pipe};
inline constexpr kind sockets[] = {kind::tcp, kind::unix_stream};
inline constexpr kind datagrams[] = {kind::unix_datagram, kind::unix_packets, kind::udp};

// A TCP listener on the loopback interface.
struct listener {
  descriptor fd;
  sockaddr_in address;

  explicit listener(int backlog = 16);
  const sockaddr* where() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
  static constexpr socklen_t size = sizeof(sockaddr_in);
};
descriptor tcp_socket(int extra_type = 0);
// A loopback address where nobody listens.
sockaddr_in nobody();
// A listener whose backlog is full: to connect to it takes until someone accepts.
struct full_listener {
  full_listener();
  listener where;
  descriptor first;
};

// A path in the file system that nothing has yet; removed at the end.
class scratch_path {
 public:
  explicit scratch_path(const char* name);
  ~scratch_path();
  scratch_path(const scratch_path&) = delete;
  scratch_path& operator=(const scratch_path&) = delete;
  const char* c_str() const noexcept { return path_.c_str(); }
  sockaddr_storage unix_address(socklen_t& size) const noexcept;

 private:
  std::string directory_, path_;
};

struct fifo : scratch_path {
  fifo();
};

// An unlinked regular file on a disk, not in memory where /proc and tmpfs live.
descriptor scratch_file(const std::string& content = {}, int flags = 0);

// `n` bytes of which every part looks different.
std::string pattern(std::size_t n, unsigned seed = 0);
// Reads until the end of the file, an error, or `most` bytes; `pause_us` between the calls.
std::string read_all(int fd, std::size_t most = std::size_t{1} << 40, unsigned pause_us = 0,
                     std::size_t piece = 65536);
bool write_all(int fd, const std::string& data);
void reset(descriptor& d);  // closes a TCP connection by a reset
// Writes without waiting until nothing more fits; returns how much did.
std::size_t fill(int fd);
// What a non-blocking look finds to read.
int bytes_waiting(int fd);

bool is_nonblocking(int fd);
void set_nonblocking(int fd, bool on);
void set_timeout(int fd, int option, long microseconds);
void set_buffers(int fd, int bytes);
void set_buffers_if_socket(int fd, int bytes);  // leaves others alone

// "0" or the name of an errno.
const char* name_of_error(int error);
// A point `ms` from now on that clock.
timespec after(clockid_t clock, long ms);
// Sleeps for less than a second.
void nap(long ms);

// A descriptor number that is not open.
int closed_number();

// An address the compiler knows nothing about; below a page it is nobody's.
template <class T>
T* bad_pointer(unsigned long address) {
  volatile unsigned long hidden = address;
  return reinterpret_cast<T*>(hidden);
}

}  // namespace conformance

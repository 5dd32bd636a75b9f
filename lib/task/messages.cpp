#include "task/messages.hpp"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include "base/raw.hpp"

namespace coir::task {
namespace {

using base::raw;
using base::word;

constexpr std::uint64_t most_bytes = std::uint64_t{1} << 40;

bool receive(int fd, char* to, std::size_t size, rest how) {
  while (size != 0) {
    const long n = raw(SYS_recvfrom, fd, word(to), static_cast<long>(size), MSG_DONTWAIT, 0, 0);
    if (n > 0) {
      to += n;
      size -= static_cast<std::size_t>(n);
    } else if (n == -EAGAIN) {
      how(fd, EPOLLIN);
    } else if (n != -EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool send_message(int fd, message m, std::string_view bytes, rest how) {
  m.size = bytes.size();
  iovec parts[] = {{&m, sizeof m}, {const_cast<char*>(bytes.data()), bytes.size()}};
  msghdr all = {};
  all.msg_iov = parts;
  all.msg_iovlen = 2;
  while (parts[0].iov_len + parts[1].iov_len != 0) {
    long n = raw(SYS_sendmsg, fd, word(&all), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == -EAGAIN) {
      how(fd, EPOLLOUT);
      continue;
    }
    if (n < 0 && n != -EINTR) return false;
    for (iovec& part : parts) {
      const std::size_t gone = n <= 0 ? 0 : std::min(part.iov_len, static_cast<std::size_t>(n));
      part.iov_base = static_cast<char*>(part.iov_base) + gone;
      part.iov_len -= gone;
      n -= static_cast<long>(gone);
    }
  }
  return true;
}

bool receive_header(int fd, message& m, rest how) {
  return receive(fd, reinterpret_cast<char*>(&m), sizeof m, how);
}

bool receive_bytes(int fd, const message& m, std::string& bytes, rest how) {
  if (m.size > most_bytes) return false;
  bytes.resize(m.size);
  return receive(fd, bytes.data(), bytes.size(), how);
}

bool silent(int fd) noexcept {
  char byte;
  const long n = raw(SYS_recvfrom, fd, word(&byte), 1, MSG_DONTWAIT | MSG_PEEK, 0, 0);
  return n == -EAGAIN || n == -EINTR;
}

}  // namespace coir::task

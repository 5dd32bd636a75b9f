// A TCP connection, in plain blocking calls. Knows nothing of coir.
#pragma once

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

[[noreturn]] inline void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

using address_list = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// The addresses of "host:port".
inline address_list look_up(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) throw std::invalid_argument("not HOST:PORT");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(address.substr(0, colon).c_str(), address.c_str() + colon + 1, &hints, &found);
  if (error == EAI_SYSTEM) fail("look-up");
  if (error != 0) throw std::runtime_error(::gai_strerror(error));
  return address_list(found, ::freeaddrinfo);
}

class connection {
 public:
  explicit connection(const addrinfo& to)
      : connection(::socket(to.ai_family, to.ai_socktype | SOCK_CLOEXEC, to.ai_protocol)) {
    if (::connect(descriptor_, to.ai_addr, to.ai_addrlen) < 0) fail("connect");
  }
  ~connection() { ::close(descriptor_); }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  void send(const std::string& text) const {
    if (::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL) < 0) fail("send");
  }

  // All that comes until the other side closes.
  std::string receive() const {
    std::string text;
    std::array<char, 4096> buffer;
    while (const ssize_t n = ::recv(descriptor_, buffer.data(), buffer.size(), 0)) {
      if (n < 0) fail("receive");
      text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return text;
  }

 private:
  explicit connection(int descriptor) : descriptor_(descriptor) {
    if (descriptor_ < 0) fail("socket");
  }

  int descriptor_;
};

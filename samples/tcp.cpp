#include "tcp.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <coir/coir.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace {

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

int listen_on(std::uint16_t port) {
  const int listener = check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const int on = 1;
  check(::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), "bind");
  check(::listen(listener, SOMAXCONN), "listen");
  check(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return listener;
}

}  // namespace

closing::~closing() {
  ::close(descriptor);
}

int connect_to(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) throw std::runtime_error(address + ": no host:port");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(address.substr(0, colon).c_str(), address.c_str() + colon + 1, &hints, &list);
  if (error != 0) throw std::runtime_error(address + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  int last = 0;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    const int connection = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    if (connection >= 0 && ::connect(connection, one->ai_addr, one->ai_addrlen) == 0) return connection;
    last = errno;
    if (connection >= 0) ::close(connection);
  }
  throw std::system_error(last, std::generic_category(), address);
}

bool receive(int connection, std::string& text) {
  std::array<char, 16 * 1024> part;
  const ssize_t received = ::recv(connection, part.data(), part.size(), 0);
  if (received > 0) text.append(part.data(), static_cast<std::size_t>(received));
  return received > 0;
}

// A blocking send sends everything or fails. MSG_NOSIGNAL: a peer that has gone is no reason to die.
bool send_all(int connection, const std::string& text) {
  return ::send(connection, text.data(), text.size(), MSG_NOSIGNAL) == std::ssize(text);
}

std::uint16_t port_of(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc{} && end == text.data() + text.size()) return port;
  throw std::invalid_argument("PORT: '" + text + "' is not a number from 0 to 65535");
}

void serve_until_signal(std::uint16_t port, const std::function<void(int)>& serve) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  check(::sigprocmask(SIG_BLOCK, &ends, nullptr), "sigprocmask");
  const int listener = listen_on(port);
  const closing at_the_end(listener);
  auto watch = coir::spawn([&ends, listener] {
    int received = 0;
    ::sigwait(&ends, &received);
    ::shutdown(listener, SHUT_RD);  // accept fails with EINVAL
  });
  coir::group open;  // its end cancels what is left
  for (;;) {
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) {
      open.spawn([connection, &serve] {
        const closing after_serving(connection);
        serve(connection);
      });
    } else if (errno == EMFILE || errno == ENFILE) {
      ::usleep(10'000);  // out of descriptors until some connection ends
    } else if (errno == EINVAL) {
      break;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      check(connection, "accept");
    }
  }
  watch.join();
}

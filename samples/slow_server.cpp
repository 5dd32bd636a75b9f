// The slow server: an accept loop and a fiber per connection, all plain blocking calls.
#include "slow_server.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

namespace {

using shared_text = std::shared_ptr<const std::string>;

// Reads one request, up to its empty line; false if the peer leaves before or asks for too much.
bool read_request(int connection) {
  std::string request;
  std::array<char, 1024> buffer;
  while (request.size() < 64 * 1024) {
    const ssize_t received = ::recv(connection, buffer.data(), buffer.size(), 0);
    if (received <= 0) return false;
    request.append(buffer.data(), static_cast<std::size_t>(received));
    if (request.find("\r\n\r\n") != std::string::npos) return true;
  }
  return false;
}

// A failing call means that the client has gone (or the program ends): then there is nobody left to tell.
void serve(int connection, unsigned delay_s, const shared_text& answer) {
  if (read_request(connection) && ::sleep(delay_s) == 0) {
    ::send(connection, answer->data(), answer->size(), MSG_NOSIGNAL);
  }
  ::close(connection);
}

void accept_all(int listener, unsigned delay_s, const shared_text& answer) {
  for (;;) {
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) {
      coir::spawn(serve, connection, delay_s, answer);
    } else if (errno == EMFILE || errno == ENFILE) {
      ::usleep(10'000);  // out of descriptors until some connection ends
    } else if (errno == ECANCELED) {
      return;  // the destructor wants it so
    } else if (errno != EINTR && errno != ECONNABORTED) {
      throw std::system_error(errno, std::generic_category(), "slow_server: accept");
    }
  }
}

}  // namespace

slow_server::slow_server(unsigned delay_s, std::size_t body_size) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0 || ::bind(listener_, name, length) < 0 || ::listen(listener_, SOMAXCONN) < 0 ||
      ::getsockname(listener_, name, &length) < 0) {
    const int error = errno;
    if (listener_ >= 0) ::close(listener_);
    throw std::system_error(error, std::generic_category(), "slow_server: listen on 127.0.0.1");
  }
  port_ = ntohs(address.sin_port);

  auto answer = std::make_shared<std::string>(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body_size) +
      "\r\nConnection: close\r\n\r\n");
  answer->append(body_size, 'x');
  acceptor_ = coir::spawn(accept_all, listener_, delay_s, shared_text(std::move(answer)));
}

slow_server::~slow_server() {
  acceptor_.cancel();
  acceptor_.join();
  ::close(listener_);
}

std::string slow_server::url(const std::string& path) const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/" + path;
}

// TLS connections by OpenSSL, both sides.
#pragma once

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <coir/coir.hpp>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "crowd.hpp"

namespace clients::tls {

struct release {
  void operator()(SSL* s) const { SSL_free(s); }
  void operator()(SSL_CTX* c) const { SSL_CTX_free(c); }
};
using session = std::unique_ptr<SSL, release>;
using context = std::unique_ptr<SSL_CTX, release>;

constexpr int block = 100'000;  // more than a socket takes at once

class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) { expect(fd >= 0, "socket or accept"); }
  ~descriptor() { ::close(fd_); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

inline session secure(const context& c, const descriptor& socket, int (*handshake)(SSL*)) {
  session s(SSL_new(c.get()));
  SSL_set_fd(s.get(), socket.get());
  if (handshake(s.get()) != 1) {
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    throw std::runtime_error(std::string("handshake: ") + text);
  }
  return s;
}

inline std::string receive(const session& s) {
  std::string all(block, '\0');
  for (int at = 0; at < block;) {
    const int n = SSL_read(s.get(), all.data() + at, block - at);
    expect(n > 0, "SSL_read");
    at += n;
  }
  return all;
}

inline void send(const session& s, const std::string& text) {
  expect(SSL_write(s.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()),
         "SSL_write");
}

// Sends back what comes, the other way round and late.
inline void serve(const context& c, int fd, unsigned late_us) {
  const descriptor socket(fd);
  const session s = secure(c, socket, SSL_accept);
  const std::string text = receive(s);
  ::usleep(late_us);
  send(s, {text.rbegin(), text.rend()});
  expect(SSL_shutdown(s.get()) >= 0, "SSL_shutdown");
}

inline void ask(const context& c, const sockaddr_in& server, int i) {
  const descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  expect(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0, "connect");
  const session s = secure(c, socket, SSL_connect);
  std::string text;
  while (text.size() < block) text += std::to_string(i + 7 * static_cast<int>(text.size()));
  text.resize(block);
  send(s, text);
  expect(receive(s) == std::string(text.rbegin(), text.rend()), "the answer");
  char rest;
  // Not SSL_get_error, which also looks at what other fibers of the thread left in OpenSSL's queue of errors.
  expect(SSL_read(s.get(), &rest, 1) == 0 && SSL_get_shutdown(s.get()) == SSL_RECEIVED_SHUTDOWN,
         "the end of the answer");
}

inline context server_context(const char* certificate, const char* key) {
  context c(SSL_CTX_new(TLS_server_method()));
  expect(SSL_CTX_use_certificate_file(c.get(), certificate, SSL_FILETYPE_PEM) == 1, certificate);
  expect(SSL_CTX_use_PrivateKey_file(c.get(), key, SSL_FILETYPE_PEM) == 1, key);
  return c;
}

inline context client_context(const char* authorities) {
  context c(SSL_CTX_new(TLS_client_method()));
  expect(SSL_CTX_load_verify_file(c.get(), authorities) == 1, authorities);
  SSL_CTX_set_verify(c.get(), SSL_VERIFY_PEER, nullptr);
  return c;
}

// Listens on loopback and calls `serve_one` on a fiber for each connection, until it is stopped.
class listener {
 public:
  explicit listener(std::function<void(int fd)> serve_one)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), serve_one_(std::move(serve_one)) {
    socklen_t length = sizeof address_;
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address_);
    expect(::bind(socket_.get(), name, length) == 0 && ::listen(socket_.get(), SOMAXCONN) == 0 &&
               ::getsockname(socket_.get(), name, &length) == 0,
           "listen");
    fibers_.spawn([this] {
      for (int fd; (fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
        fibers_.spawn([this, fd] { serve_one_(fd); });
    });
  }

  const sockaddr_in& address() const { return address_; }

  // Waits for those that are being served; throws what left one of them.
  void stop() {
    ::shutdown(socket_.get(), SHUT_RDWR);
    fibers_.join();
  }

 private:
  descriptor socket_;
  std::function<void(int fd)> serve_one_;
  sockaddr_in address_{};
  coir::group fibers_;
};

}  // namespace clients::tls

// TLS by OpenSSL, both sides on fibers of this thread, over TCP.
//
//   tls AUTHORITY CERTIFICATE KEY
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <coir/coir.hpp>
#include <memory>
#include <string>

#include "crowd.hpp"

using clients::expect;

namespace {

struct release {
  void operator()(SSL* s) const { SSL_free(s); }
  void operator()(SSL_CTX* c) const { SSL_CTX_free(c); }
};
using session = std::unique_ptr<SSL, release>;
using context = std::unique_ptr<SSL_CTX, release>;

constexpr int block = 100'000;           // more than a socket takes at once
constexpr unsigned server_us = 500'000;  // what it takes to answer

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

session secure(const context& c, const descriptor& socket, int (*handshake)(SSL*)) {
  session s(SSL_new(c.get()));
  SSL_set_fd(s.get(), socket.get());
  if (handshake(s.get()) != 1) {
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    throw std::runtime_error(std::string("handshake: ") + text);
  }
  return s;
}

std::string receive(const session& s) {
  std::string all(block, '\0');
  for (int at = 0; at < block;) {
    const int n = SSL_read(s.get(), all.data() + at, block - at);
    expect(n > 0, "SSL_read");
    at += n;
  }
  return all;
}

void send(const session& s, const std::string& text) {
  expect(SSL_write(s.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()),
         "SSL_write");
}

// Sends back what comes, the other way round.
void serve(const context& c, int fd) {
  const descriptor socket(fd);
  const session s = secure(c, socket, SSL_accept);
  const std::string text = receive(s);
  ::usleep(server_us);
  send(s, {text.rbegin(), text.rend()});
  expect(SSL_shutdown(s.get()) >= 0, "SSL_shutdown");
}

void ask(const context& c, const sockaddr_in& server, int i) {
  const descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  expect(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0, "connect");
  const session s = secure(c, socket, SSL_connect);
  std::string text;
  while (text.size() < block) text += std::to_string(i + 7 * static_cast<int>(text.size()));
  text.resize(block);
  send(s, text);
  expect(receive(s) == std::string(text.rbegin(), text.rend()), "the answer");
  char rest;
  expect(SSL_read(s.get(), &rest, 1) == 0 && SSL_get_error(s.get(), 0) == SSL_ERROR_ZERO_RETURN,
         "the end of the answer");
}

context server_context(const char* certificate, const char* key) {
  context c(SSL_CTX_new(TLS_server_method()));
  expect(SSL_CTX_use_certificate_file(c.get(), certificate, SSL_FILETYPE_PEM) == 1, certificate);
  expect(SSL_CTX_use_PrivateKey_file(c.get(), key, SSL_FILETYPE_PEM) == 1, key);
  return c;
}

context client_context(const char* authorities) {
  context c(SSL_CTX_new(TLS_client_method()));
  if (authorities != nullptr) expect(SSL_CTX_load_verify_file(c.get(), authorities) == 1, authorities);
  SSL_CTX_set_verify(c.get(), SSL_VERIFY_PEER, nullptr);
  return c;
}

}  // namespace

int main(int, char** argv) {
  return clients::session([&] {
    const context server = server_context(argv[2], argv[3]), client = client_context(argv[1]);
    const descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    socklen_t length = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    expect(::bind(listener.get(), name, length) == 0 && ::listen(listener.get(), SOMAXCONN) == 0 &&
               ::getsockname(listener.get(), name, &length) == 0,
           "listen");
    coir::group servers;
    servers.spawn([&] {
      for (int fd; (fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
        servers.spawn([&server, fd] { serve(server, fd); });
    });
    clients::run({.name = "OpenSSL, both sides", .most_ms = 2000, .apart_ms = 2},
                 [&](int i) { ask(client, address, i); });
    ::shutdown(listener.get(), SHUT_RDWR);
    servers.join();
  });
}

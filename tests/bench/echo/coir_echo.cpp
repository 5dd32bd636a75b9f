// coir's echo server: plain blocking socket calls, a fiber per connection. Nothing in it but `spawn` is
// coir's; linked with libcoir-patch, which makes the calls yield. COIR_REACTOR chooses the reactor.
//
//   coir_echo <port> <bufsize>

#include <coir/coir.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace {

constexpr int backlog = 4096;
constexpr unsigned life_s = 600;  // a server left behind ends by itself

void echo(int fd, std::size_t buffer_size) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  for (;;) {
    const ssize_t received = ::recv(fd, buffer.get(), buffer_size, 0);
    if (received <= 0) break;
    if (::send(fd, buffer.get(), static_cast<std::size_t>(received), MSG_NOSIGNAL) != received) break;
  }
  ::close(fd);
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s <port> <bufsize>\n", argv[0]);
    return 2;
  }
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const auto buffer_size = static_cast<std::size_t>(std::atol(argv[2]));
  ::alarm(life_s);
  raise_file_limit();

  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  if (listener < 0) fail("socket");
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
  if (::listen(listener, backlog) != 0) fail("listen");
  std::puts("ready");
  std::fflush(stdout);

  for (;;) {
    const int fd = ::accept(listener, nullptr, nullptr);
    if (fd < 0) fail("accept");
    coir::spawn(echo, fd, buffer_size);
  }
}

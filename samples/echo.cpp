// Shows: a server as a loop of accept and spawn, one fiber per connection, with plain blocking sockets.
// Try:   ./echo 7000, then in other shells: nc 127.0.0.1 7000     (port 0 takes any free port)

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <coir/coir.hpp>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace {

unsigned number(const char* argument, std::string_view text, unsigned least, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error == std::errc{} && end == text.end() && value >= least && value <= most) return value;
  throw std::invalid_argument(std::string(argument) + ": '" + std::string(text) + "' is not a number from " +
                              std::to_string(least) + " to " + std::to_string(most));
}

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

void serve(int connection) {
  std::array<char, 4096> buffer;
  ssize_t received = 0;
  while ((received = ::recv(connection, buffer.data(), buffer.size(), 0)) > 0) {
    // A blocking send sends everything or fails. MSG_NOSIGNAL: a peer that has gone is no reason to die.
    if (::send(connection, buffer.data(), static_cast<size_t>(received), MSG_NOSIGNAL) < 0) break;
  }
  if (received < 0 && errno != ECONNRESET) std::perror("echo: recv");
  ::close(connection);
}

void run(std::uint16_t port, unsigned connections) {
  const int listener = check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const int on = 1;
  check(::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t length = sizeof address;
  check(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), "bind");
  check(::listen(listener, SOMAXCONN), "listen");
  check(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);

  coir::group open;  // its end waits for the connections still open
  for (unsigned taken = 0; connections == 0 || taken < connections;) {
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) {
      open.spawn([connection] { serve(connection); });
      ++taken;
    } else if (errno == EMFILE || errno == ENFILE) {
      ::usleep(10'000);  // out of descriptors until some connection ends
    } else if (errno != EINTR && errno != ECONNABORTED) {
      check(connection, "accept");
    }
  }
  ::close(listener);
  open.join();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2 && !(argc == 4 && std::string_view(argv[2]) == "--connections")) {
    throw std::invalid_argument("usage: echo PORT [--connections N]    N: end after so many connections");
  }
  const unsigned port = number("PORT", argv[1], 0, 65535);
  run(static_cast<std::uint16_t>(port), argc == 4 ? number("--connections", argv[3], 1, 1'000'000'000) : 0);
} catch (const std::invalid_argument& error) {
  std::fprintf(stderr, "echo: %s\n", error.what());
  return 2;
} catch (const std::system_error& error) {
  std::fprintf(stderr, "echo: %s\n", error.what());
  return 1;
}

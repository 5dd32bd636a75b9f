// Shows: a TCP proxy: two fibers per connection, one for each direction, each a loop of recv and send.
// Try:   ./proxy 7000 example.com:80, then: curl -H 'Host: example.com' http://127.0.0.1:7000/

#include <sys/socket.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "tcp.hpp"

namespace {

// Until one side ends its half of the conversation, which the other is then told.
void forward(int from, int to) {
  for (std::string text; receive(from, text); text.clear()) {
    if (!send_all(to, text)) {
      ::shutdown(from, SHUT_RD);
      break;
    }
  }
  ::shutdown(to, SHUT_WR);
}

void serve(const std::string& address, int client) try {
  const closing server(connect_to(address));
  coir::group back;
  back.spawn(forward, server.descriptor, client);
  forward(client, server.descriptor);
  back.join();
} catch (const std::exception& error) {
  std::fprintf(stderr, "proxy: %s\n", error.what());  // the client sees the connection end
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::invalid_argument("usage: proxy PORT HOST:PORT");
  const std::string address = argv[2];
  serve_until_signal(port_of(argv[1]), [&address](int client) { serve(address, client); });
} catch (const std::invalid_argument& error) {
  std::fprintf(stderr, "proxy: %s\n", error.what());
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "proxy: %s\n", error.what());
  return 1;
}

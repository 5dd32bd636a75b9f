// TLS by OpenSSL, both sides on fibers of this thread, over TCP.
//
//   tls AUTHORITY CERTIFICATE KEY
#include "tls.hpp"

using namespace clients::tls;

int main(int, char** argv) {
  return clients::session([&] {
    const context server = server_context(argv[2], argv[3]), client = client_context(argv[1]);
    listener servers([&](int fd) { serve(server, fd, 500'000); });
    clients::run({.name = "OpenSSL, both sides", .most_ms = 2000, .apart_ms = 2},
                 [&](int i) { ask(client, servers.address(), i); });
    servers.stop();
  });
}

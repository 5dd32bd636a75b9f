// What the samples of clients and servers have in common, in plain blocking calls.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

/// Closes a descriptor at the end of its scope.
struct closing {
  int descriptor;
  explicit closing(int d) : descriptor(d) {}
  ~closing();
  closing(const closing&) = delete;
  closing& operator=(const closing&) = delete;
};

/// A connection to `address`, "host:port". Throws std::runtime_error.
int connect_to(const std::string& address);

/// Receives once, and appends that to `text`. False at the end, and after an error.
bool receive(int connection, std::string& text);

/// Sends all of `text`. False if the other side has gone.
bool send_all(int connection, const std::string& text);

/// `text` as a port to listen on. Throws std::invalid_argument.
std::uint16_t port_of(const std::string& text);

/// Listens on 127.0.0.1:`port` (0: any free one), says so on stdout, and calls `serve` with each connection,
/// on a fiber of its own; then the connection is closed. Returns after SIGINT or SIGTERM, once those fibers,
/// which are cancelled then, have ended. Throws std::system_error.
void serve_until_signal(std::uint16_t port, const std::function<void(int connection)>& serve);

// A small HTTP server that takes its time over each answer: something to download from, in the same program.
#pragma once

#include <coir/coir.hpp>
#include <cstddef>
#include <string>

/// Serves 127.0.0.1, a free port, from fibers of the thread that makes it. Any path is answered after
/// `delay_s` seconds with the same `body_size` bytes. Throws std::system_error if it cannot listen. The end
/// closes it.
class slow_server {
 public:
  slow_server(unsigned delay_s, std::size_t body_size);
  ~slow_server();
  slow_server(const slow_server&) = delete;
  slow_server& operator=(const slow_server&) = delete;

  /// "http://127.0.0.1:PORT/PATH"
  std::string url(const std::string& path) const;

 private:
  int listener_ = -1;
  unsigned port_ = 0;
  coir::fiber<void> acceptor_;
};

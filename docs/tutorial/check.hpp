// Asking one service, within a time limit.
#pragma once

#include <chrono>
#include <coir/coir.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "connection.hpp"

inline std::string ask(const std::string& address) try {
  const connection service(*look_up(address));
  service.send("GET / HTTP/1.0\r\n\r\n");
  return service.receive();
} catch (const std::system_error&) {
  coir::this_fiber::check_cancelled();  // throws if that call failed because we are to end
  throw;
}

// FNV-1a, a stand-in for work that keeps a processor busy.
inline std::uint32_t checksum(const std::string& text) {
  std::uint32_t sum = 2166136261;
  for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 16777619;
  return sum;
}

inline std::string check(const std::string& address, std::chrono::milliseconds limit) try {
  const std::optional<std::string> page = coir::with_timeout(limit, [&] { return ask(address); });
  if (!page) return address + ": too late";
  const std::uint32_t sum = coir::offload(checksum, *page);
  return address + ": " + std::to_string(page->size()) + " bytes, checksum " + std::to_string(sum);
} catch (const std::exception& error) {
  return address + ": " + error.what();
}

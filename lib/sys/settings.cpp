#include "sys/settings.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

extern "C" char** environ;

namespace coir::sys {
namespace {

[[noreturn]] void reject(std::string_view name, std::string_view value, std::string_view expected) {
  throw std::invalid_argument("coir: environment variable " + std::string(name) + "='" + std::string(value) +
                              "': expected " + std::string(expected));
}

void apply(settings& result, std::string_view name, std::string_view value) {
  if (name == "COIR_REACTOR") {
    if (value == "epoll")
      result.reactor = reactor_choice::epoll;
    else if (value == "uring")
      result.reactor = reactor_choice::uring;
    else if (value != "" && value != "auto")
      reject(name, value, "epoll, uring or auto");
  } else if (name != "COIR_VERIFY") {  // that one is coir-patch's own
    reject(name, value, "no such variable; there are COIR_REACTOR and COIR_VERIFY");
  }
}

settings parse() {
  settings result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (!text.starts_with("COIR_") || equals == std::string_view::npos) continue;
    apply(result, text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

}  // namespace

const settings& read_settings() {
  static const settings result = parse();  // a throwing initialiser runs again at the next call
  return result;
}

}  // namespace coir::sys

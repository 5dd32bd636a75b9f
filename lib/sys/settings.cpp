#include "sys/settings.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "sys/categories.hpp"

extern "C" char** environ;

namespace coir::sys {
namespace {

[[noreturn]] void reject(std::string_view name, std::string_view value, std::string_view expected) {
  throw std::invalid_argument("coir: environment variable " + std::string(name) + "='" + std::string(value) +
                              "': expected " + std::string(expected));
}

std::uint32_t category_of(std::string_view all, std::string_view name) {
#define COIR_ONE(category, bit) \
  if (name == #category) return 1U << (bit);
  COIR_CATEGORIES(COIR_ONE)
#undef COIR_ONE
  if (name == "all") return all_categories;
  std::string expected = "a list, with commas, of categories to patch, or with '-' before each, not to: all";
#define COIR_ONE(category, bit) expected += " " #category;
  COIR_CATEGORIES(COIR_ONE)
#undef COIR_ONE
  reject("COIR_PATCH", all, expected);
}

// "io,time": these only. "-names,-stdio": all but these. "": all.
std::uint32_t parse_patch(std::string_view list) {
  std::uint32_t off = list.empty() || list.starts_with('-') ? 0 : all_categories;
  for (std::string_view rest = list; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const bool without = item.starts_with('-');
    if (without) item.remove_prefix(1);
    const std::uint32_t bits = category_of(list, item);
    off = without ? off | bits : off & ~bits;
  }
  return off;
}

bool parse_switch(std::string_view name, std::string_view value) {
  if (value != "" && value != "0" && value != "1") reject(name, value, "0 or 1");
  return value == "1";
}

// "262144", "256K", "1M".
std::size_t parse_stack_size(std::string_view name, std::string_view value) {
  if (value.empty()) return 0;
  std::size_t bytes = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bytes);
  std::string_view unit = value.substr(static_cast<std::size_t>(end - value.data()));
  const std::size_t shift = unit == "K" || unit == "k"   ? 10
                            : unit == "M" || unit == "m" ? 20
                            : unit == "G" || unit == "g" ? 30
                                                         : 0;
  if (error != std::errc() || (shift == 0 && !unit.empty()) || bytes > largest_stack_size >> shift ||
      bytes << shift < smallest_stack_size)
    reject(name, value, "the bytes of a fiber's stack, 16K to 64G, such as 262144, 256K or 1M");
  return bytes << shift;
}

void apply(settings& result, std::string_view name, std::string_view value) {
  if (name == "COIR_REACTOR") {
    if (value == "epoll")
      result.reactor = reactor_choice::epoll;
    else if (value == "uring")
      result.reactor = reactor_choice::uring;
    else if (value != "" && value != "auto")
      reject(name, value, "epoll, uring or auto");
  } else if (name == "COIR_PATCH") {
    result.patch_off = parse_patch(value);
  } else if (name == "COIR_PATCH_ALWAYS") {
    result.patch_always = parse_switch(name, value);
  } else if (name == "COIR_AUDIT") {
    result.audit = parse_switch(name, value);
  } else if (name == "COIR_STACK_SIZE") {
    result.stack_size = parse_stack_size(name, value);
  } else if (name != "COIR_VERIFY") {  // that one is coir-patch's own
    reject(name, value,
           "no such variable; there are COIR_REACTOR, COIR_PATCH, COIR_PATCH_ALWAYS, COIR_AUDIT, "
           "COIR_STACK_SIZE and COIR_VERIFY");
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

// What calls read into and write from, and how it is told.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

namespace fuzz {

// Run-length: "a3b2".
inline std::string told(const char* from, std::size_t n) {
  std::string text;
  for (std::size_t i = 0; i < n;) {
    std::size_t same = i;
    while (same < n && from[same] == from[i]) ++same;
    const auto byte = static_cast<unsigned char>(from[i]);
    text += byte >= ' ' && byte < 127 ? std::string(1, from[i]) : "\\" + std::to_string(byte);
    if (same - i > 1) text += std::to_string(same - i);
    i = same;
  }
  return text;
}

struct bytes {
  explicit bytes(std::size_t n, char fill = '.') : room(std::max<std::size_t>(n, 1), fill), size(n) {}
  operator char*() { return room.data(); }
  std::string room;
  std::size_t size;
};

}  // namespace fuzz

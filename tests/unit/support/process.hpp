// What this process holds, and what it writes to stderr.
#pragma once

#include <cstddef>
#include <string>

namespace unit {

std::size_t open_descriptors();
std::size_t mappings();
std::size_t threads();
std::size_t resident_bytes();

// Collects what is written to descriptor 2 while it lives.
class captured_stderr {
 public:
  captured_stderr();
  ~captured_stderr();  // gives stderr back
  captured_stderr(const captured_stderr&) = delete;
  captured_stderr& operator=(const captured_stderr&) = delete;

  std::string text() const;

 private:
  int file_;
  int saved_;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace unit

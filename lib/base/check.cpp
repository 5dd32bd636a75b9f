#include "base/check.hpp"

#include <cstdlib>
#include <cstring>

#include "base/raw.hpp"

namespace coir::base {

void (*describe_current_fiber)(int fd) noexcept = nullptr;

void write_text(int fd, const char* text) noexcept {
  std::size_t left = std::strlen(text);
  while (left > 0) {
    const long n = raw(SYS_write, fd, word(text), static_cast<long>(left));
    if (n <= 0) return;
    text += n;
    left -= static_cast<std::size_t>(n);
  }
}

void write_number(int fd, unsigned long value) noexcept {
  text_out(fd).number(value);
}

text_out& text_out::text(const char* s) {
  if (to_ != nullptr)
    to_->append(s);
  else
    write_text(fd_, s);
  return *this;
}

text_out& text_out::number(std::uint64_t value, unsigned base) {
  char digits[24];
  char* at = digits + sizeof digits;
  *--at = '\0';
  do {
    *--at = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  return text(at);
}

void misused(const char* words) noexcept {
  text_out(2).text("coir: ").text(words).text("\n");
  if (describe_current_fiber != nullptr) describe_current_fiber(2);
  std::abort();
}

void check_failed(const char* expression, const char* file, int line) noexcept {
  write_text(2, "coir: broken invariant, an error in coir itself (please report it): ");
  write_text(2, expression);
  write_text(2, " (");
  write_text(2, file);
  write_text(2, ":");
  write_number(2, static_cast<unsigned long>(line));
  write_text(2, ")\n");
  if (describe_current_fiber != nullptr) describe_current_fiber(2);
  std::abort();
}

}  // namespace coir::base

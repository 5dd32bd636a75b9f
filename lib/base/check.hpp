// COIR_CHECK: an invariant of coir's own. It aborts in every build, saying what broke and who was running.
#pragma once

#include <cstdint>
#include <string>

namespace coir::base {

// Writes "coir: broken invariant ..." to stderr and aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

// For mistakes of the program in destructors, which can neither throw nor leave undone: writes "coir: ", what
// is wrong and what to do, and the running fiber to stderr, and aborts.
[[noreturn]] void misused(const char* words) noexcept;

// Called by both to describe the running fiber on fd 2; set once by lib/sched.
extern void (*describe_current_fiber)(int fd) noexcept;

// Writes all of a C string to fd by raw system calls; safe in a signal handler.
void write_text(int fd, const char* text) noexcept;
void write_number(int fd, unsigned long value) noexcept;

// Where a description goes: a descriptor (then it is safe in a signal handler) or a string.
class text_out {
 public:
  explicit text_out(int fd) noexcept : fd_(fd) {}
  explicit text_out(std::string& to) noexcept : to_(&to) {}

  text_out& text(const char* s);
  text_out& number(std::uint64_t value, unsigned base = 10);
  text_out& hex(const void* address) {
    return text("0x").number(reinterpret_cast<std::uintptr_t>(address), 16);
  }

 private:
  int fd_ = -1;
  std::string* to_ = nullptr;
};

}  // namespace coir::base

#define COIR_CHECK(expression)                   \
  (__builtin_expect(!!(expression), 1) ? (void)0 \
                                       : ::coir::base::check_failed(#expression, __FILE__, __LINE__))

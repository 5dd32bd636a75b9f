// Streams that are written to, and who reads them.
#pragma once

#include <stdio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

// Makes a call that may fail although it does not return -1, and notes it in the log `o`.
#define COIR_NOTED(...)                                                                          \
  do {                                                                                           \
    errno = conformance::untouched;                                                              \
    const long noted_ = static_cast<long>(__VA_ARGS__);                                          \
    const int error_ = errno;                                                                    \
    o.say("%s -> %ld %s", #__VA_ARGS__, noted_,                                                  \
          error_ == conformance::untouched ? "errno kept" : conformance::name_of_error(error_)); \
  } while (false)

namespace conformance {

// The writing end of `e` as a stream; the reading end stays.
inline FILE* writer(both_ends& e, int mode = _IOFBF, std::size_t size = 4096) {
  FILE* f = fdopen(e.b.release(), "w");
  setvbuf(f, nullptr, mode, mode == _IONBF ? 0 : size);
  return f;
}

// What has reached the reader by now.
inline std::string arrived(const both_ends& e) {
  std::string data(static_cast<std::size_t>(bytes_waiting(e.a)), '\0');
  if (!data.empty()) data.resize(static_cast<std::size_t>(COIR_MUST(read(e.a, data.data(), data.size()))));
  return data;
}

// Reads all that comes, slowly, into `all`.
inline auto slow_reader(both_ends& e, std::string& all) {
  return [&](log& r) {
    settle();
    r.say("writer waits");
    nap(20);
    all = read_all(e.a, std::size_t{1} << 40, 200, 16384);
  };
}

}  // namespace conformance

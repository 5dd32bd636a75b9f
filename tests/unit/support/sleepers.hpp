// Sleeping for milliseconds, here and in fibers that then end in one way or the other.
#pragma once

#include <coir/coir.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

namespace unit {

inline void slept(int ms) {
  coir::this_fiber::sleep_for(std::chrono::milliseconds(ms));
}

// Sleeps for so many milliseconds and returns the number.
inline coir::fiber<int> after(int ms) {
  return coir::spawn([ms] {
    slept(ms);
    return ms;
  });
}

// The same, but throws "after" and the number.
inline coir::fiber<int> fails_after(int ms) {
  return coir::spawn([ms]() -> int {
    slept(ms);
    throw std::runtime_error("after " + std::to_string(ms));
  });
}

}  // namespace unit

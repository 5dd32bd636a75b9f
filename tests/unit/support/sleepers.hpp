// Fibers that sleep and then end in one way or the other.
#pragma once

#include <coir/coir.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

namespace unit {

// Sleeps for so many milliseconds and returns the number.
inline coir::fiber<int> after(int ms) {
  return coir::spawn([ms] {
    coir::this_fiber::sleep_for(std::chrono::milliseconds(ms));
    return ms;
  });
}

// The same, but throws "after" and the number.
inline coir::fiber<int> fails_after(int ms) {
  return coir::spawn([ms]() -> int {
    coir::this_fiber::sleep_for(std::chrono::milliseconds(ms));
    throw std::runtime_error("after " + std::to_string(ms));
  });
}

}  // namespace unit

// Can be told to throw at its next move.
#pragma once

#include <stdexcept>

namespace unit {

struct throwing_move {
  static inline bool armed = false;

  int value = 0;

  explicit throwing_move(int v) : value(v) {}
  throwing_move(throwing_move&& other) : value(other.value) {
    if (armed) {
      armed = false;
      throw std::runtime_error("move");
    }
  }
  throwing_move& operator=(throwing_move&&) = default;
};

}  // namespace unit

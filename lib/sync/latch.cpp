#include "coir/latch.hpp"

#include <stdexcept>
#include <string>

namespace coir {

latch::latch(std::ptrdiff_t expected) : left_(expected) {
  if (expected < 0)
    throw std::invalid_argument("coir::latch: expected=" + std::to_string(expected) +
                                ": expected zero or more");
  if (expected == 0) zero_.set();
}

void latch::count_down(std::ptrdiff_t n) {
  std::ptrdiff_t left = left_.load(std::memory_order_relaxed);
  do {
    if (n < 0 || n > left)
      throw std::invalid_argument("coir::latch::count_down: n=" + std::to_string(n) + ": expected 0 to " +
                                  std::to_string(left) + ", which is what is left");
    if (n == 0) return;
    // acq_rel: who is woken sees what all did who counted
  } while (!left_.compare_exchange_weak(left, left - n, std::memory_order_acq_rel));
  if (left == n) zero_.set();
}

}  // namespace coir

// A histogram of latencies: constant memory and time per latency, each counted in a bucket no wider than 1/64
// of its value.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

class histogram {
 public:
  void add(std::int64_t ns) {
    ++counts_[index(static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0)))];
    ++total_;
  }

  // The upper edge of the bucket that holds the given share of all latencies, in microseconds.
  double percentile_us(double share) const {
    auto left = static_cast<std::int64_t>(share * static_cast<double>(total_));
    for (std::size_t i = 0; i < counts_.size(); ++i)
      if ((left -= counts_[i]) < 0) return static_cast<double>(edge(i)) / 1000.0;
    return 0;
  }

 private:
  static constexpr unsigned fine_bits = 6;
  static std::size_t index(std::uint64_t v) {
    if (v < (1u << fine_bits)) return v;
    const auto shift = static_cast<unsigned>(std::bit_width(v)) - 1 - fine_bits;
    return ((shift + 1) << fine_bits) + ((v >> shift) - (1u << fine_bits));
  }
  static std::uint64_t edge(std::size_t i) {
    if (i < (1u << fine_bits)) return i;
    const std::size_t shift = (i >> fine_bits) - 1;
    return ((i & ((1u << fine_bits) - 1)) + (1u << fine_bits) + 1) << shift;
  }
  std::vector<std::int64_t> counts_ = std::vector<std::int64_t>(60u << fine_bits);
  std::int64_t total_ = 0;
};

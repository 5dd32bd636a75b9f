// Counts its living instances.
#pragma once

namespace unit {

struct counted {
  static inline int instances = 0;

  counted() noexcept { ++instances; }
  counted(const counted&) noexcept { ++instances; }
  ~counted() { --instances; }
  counted& operator=(const counted&) = default;
};

}  // namespace unit

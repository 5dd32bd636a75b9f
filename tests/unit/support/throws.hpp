// Whether and what a call throws.
#pragma once

#include <string>
#include <system_error>

namespace unit {

// Whether `f` throws an E. For calls that suspend: a Catch2 assertion should not be left half-way.
template <class E, class F>
bool throws(F&& f) {
  try {
    f();
  } catch (const E&) {
    return true;
  } catch (...) {
  }
  return false;
}

// The text of the E that `f` throws, or "nothing".
template <class E, class F>
std::string thrown_text(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (...) {
    return "something else";
  }
  return "nothing";
}

inline bool is_deadlock(const std::system_error& e) {
  return e.code() == std::errc::resource_deadlock_would_occur;
}

}  // namespace unit

// What the scenarios share.
#pragma once

#include <coir/coir.hpp>

#include <cstdio>
#include <functional>

// Whether other fibers ran while `call` waited.
inline bool lets_others_run(const std::function<void()>& call) {
  bool ran = false;
  auto other = coir::spawn([&] { ran = true; });
  call();
  const bool result = ran;
  other.join();
  return result;
}

inline void say(const char* what, bool yes) {
  std::printf("%s: %s\n", what, yes ? "yes" : "no");
}

int at_once();

// A SQLite connection that waits for locks.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>

#include "crowd.hpp"

namespace clients::sqlite {

struct release {
  void operator()(sqlite3* c) const { sqlite3_close(c); }
};
using connection = std::unique_ptr<sqlite3, release>;

constexpr int patience_ms = 30'000;

inline connection open(const char* file) {
  sqlite3* c = nullptr;
  const int code = sqlite3_open(file, &c);
  connection result(c);
  expect(code == SQLITE_OK && sqlite3_busy_timeout(c, patience_ms) == SQLITE_OK, sqlite3_errstr(code));
  return result;
}

inline void execute(const connection& c, const std::string& text) {
  expect(sqlite3_exec(c.get(), text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK,
         text + ": " + sqlite3_errmsg(c.get()));
}

inline int number(const connection& c, const char* text) {
  int result = -1;
  const auto store = [](void* to, int, char** values, char**) {
    return *static_cast<int*>(to) = std::stoi(values[0]), 0;
  };
  expect(sqlite3_exec(c.get(), text, store, &result, nullptr) == SQLITE_OK, sqlite3_errmsg(c.get()));
  return result;
}

}  // namespace clients::sqlite

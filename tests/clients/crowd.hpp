// Many operations of a client library at once, each on a fiber of this thread, beside a ticker that shows
// whether one of them kept the thread.
#pragma once

#include <functional>
#include <string>

namespace clients {

// Throws std::runtime_error if `holds` is false.
void expect(bool holds, const std::string& what);

// 1, and more under a sanitizer, where the time of a crowd means nothing (CLIENTS_SLACK).
double slack();

struct crowd {
  const char* name;
  int operations = 100;
  double most_ms;  // for all of them
  // Between two starts, for a client that computes much: in one go that would be a pause of its own.
  int apart_ms = 0;
  double most_pause_ms = 20;
  std::function<void()> before = [] {};  // called before the one and before all
};

// Calls one(0) alone, then one(0) … one(operations - 1) at once, and prints a line: name, reactor,
// operations, time of all and of one, the ticker's longest pause, threads. Throws what an operation throws,
// and std::runtime_error if the time of all or the pause was too long five times in a row: once or twice
// may be the machine's doing.
void run(const crowd& c, const std::function<void(int)>& one);

// The body of a client's main: 0, or 1 and a message if `body` throws or leaves a descriptor or a fiber
// behind.
int session(const std::function<void()>& body);

}  // namespace clients

// The calls that random programs are made of.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace fuzz {

constexpr int slots = 8;   // descriptors, -1 where there is none
constexpr int things = 3;  // of each kind of lock
constexpr int flows = 6;
constexpr int most_arguments = 4;

// What one call of a program works on and tells.
struct call {
  int number = 0;  // within the program: what it writes can be told from what others write
  int flow = 0;
  int a[most_arguments] = {};
  std::string data;  // what it read
};

// A kind of call. `arguments` says what each argument is, for who makes programs: see fuzz.py.
struct operation {
  const char* name;
  const char* arguments;
  long (*make)(call& c);
  // Others that it lets go on may come to hear of it by time: nothing is at work meanwhile.
  long calm_us = 0;
};

// Makes it. A number that another call is at work on is closed by nobody meanwhile (-2): what happens then is
// one of the differences in semantics.md.
long make(const operation& o, call& c);

// Whether a call that waits may end with nobody else doing anything.
bool may_end_by_time(const operation& o, const call& c);

extern const operation operations[];
extern const std::size_t operation_count;
const operation* find(const char* name);

// Once, before the flows begin.
void prepare();
// What is in the descriptors when all is over.
std::string rest();
// The processes that calls have made and not waited for; 0 where there is none.
extern pid_t child[things];
// How long calls that have a limit may take, in milliseconds.
constexpr int limit_ms = 200;

}  // namespace fuzz

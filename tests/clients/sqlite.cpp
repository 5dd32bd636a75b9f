// SQLite: every connection waits for a lock that another process holds.
//
//   sqlite FILE          (sqlite FILE hold: the other process)
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "sqlite.hpp"

using namespace clients::sqlite;
using clients::expect;

namespace {

constexpr unsigned held_us = 500'000;
constexpr int writers = 20;

// The other process: locks the file, says so, and lets go after a while.
int hold(const char* file) {
  const connection c = open(file);
  execute(c, "begin exclusive; update held set times = times + 1");
  std::puts("locked");
  std::fflush(stdout);
  ::usleep(held_us);
  execute(c, "commit");
  return 0;
}

// That process, until it has let go.
class holder {
 public:
  explicit holder(const std::string& command) : output_(::popen(command.c_str(), "re")) {
    char line[16] = {};
    expect(output_ != nullptr && std::fgets(line, sizeof line, output_) != nullptr &&
               std::strcmp(line, "locked\n") == 0,
           command);
  }
  ~holder() { ::pclose(output_); }
  holder(const holder&) = delete;
  holder& operator=(const holder&) = delete;

 private:
  FILE* output_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) return hold(argv[1]);
  return clients::session([&] {
    const connection first = open(argv[1]);
    execute(first,
            "create table held (times int); insert into held values (0); create table lines (number int)");
    int times = 0;
    std::optional<holder> other;
    const auto lock = [&] {
      other.reset();
      other.emplace("exec '" + std::string(argv[0]) + "' '" + argv[1] + "' hold");
      ++times;
    };
    clients::run({.name = "SQLite, select from a locked file", .most_ms = 1250, .before = lock}, [&](int) {
      expect(number(open(argv[1]), "select times from held") == times, "the lock did not make it wait");
    });
    // Writers also wait for each other, a tenth of a second each time they look.
    clients::run({.name = "SQLite, insert into a locked file",
                  .operations = writers,
                  .most_ms = 10'000,
                  .before = lock},
                 [&](int i) {
                   const connection c = open(argv[1]);
                   execute(c, "insert into lines values (" + std::to_string(i) + ")");
                   expect(number(c, "select times from held") == times, "the lock did not make it wait");
                 });
    expect(number(first, "select count(distinct number) from lines") == writers, "a line is lost");
  });
}

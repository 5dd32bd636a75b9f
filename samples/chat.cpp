// Shows: a chat: what a client writes, all others get; a fiber reads from each client, another writes to it.
// Try:   ./chat 7000, then in other shells: nc 127.0.0.1 7000     (port 0 takes any free port)

#include <sys/socket.h>

#include <algorithm>
#include <coir/coir.hpp>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "tcp.hpp"

namespace {

struct guest {
  int connection;
  std::string name;
  coir::queue<std::string> lines{100};  // to be written to it
};

// Fibers of one thread: nobody else runs between two blocking calls, so there is nothing to lock.
class room {
 public:
  void enter(guest& who) {
    guests_.push_back(&who);
    tell_others(who, "* " + who.name + " has come\n");
  }
  void leave(guest& who) {
    std::erase(guests_, &who);
    tell_others(who, "* " + who.name + " has left\n");
  }
  void tell_others(const guest& from, const std::string& line) {
    for (guest* one : guests_) {
      // Who does not read for a hundred lines is thrown out, so that nobody waits for him.
      if (one != &from && !one->lines.try_push(std::string(line))) ::shutdown(one->connection, SHUT_RDWR);
    }
  }
  std::string next_name() { return "guest " + std::to_string(++count_); }

 private:
  std::vector<guest*> guests_;
  int count_ = 0;
};

void serve(room& all, int connection) {
  guest self{connection, all.next_name()};
  coir::group writer;
  writer.spawn([&self] {
    while (const auto line = self.lines.pop()) send_all(self.connection, *line);
  });
  all.enter(self);
  constexpr std::size_t longest = 4096;
  for (std::string text; text.size() < longest && receive(connection, text);) {
    for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      all.tell_others(self, self.name + ": " + text.substr(0, end + 1));
    }
  }
  all.leave(self);
  self.lines.close();
  writer.join();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) throw std::invalid_argument("usage: chat PORT");
  room all;
  serve_until_signal(port_of(argv[1]), [&all](int connection) { serve(all, connection); });
} catch (const std::invalid_argument& error) {
  std::fprintf(stderr, "chat: %s\n", error.what());
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "chat: %s\n", error.what());
  return 1;
}

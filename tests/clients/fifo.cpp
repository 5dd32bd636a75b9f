// std::ifstream on named pipes.
//
//   fifo FOLDER
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <coir/coir.hpp>
#include <fstream>
#include <string>

#include "crowd.hpp"

using clients::expect;

namespace {

constexpr unsigned writer_us = 500'000;

// Writes a line into `fd`, late, and closes it.
void write_late(int fd, const std::string& line) {
  ::usleep(writer_us);
  const auto size = static_cast<ssize_t>(line.size());
  const bool whole = ::write(fd, line.data(), line.size()) == size;
  ::close(fd);
  expect(whole, "write");
}

}  // namespace

int main(int, char** argv) {
  return clients::session([&] {
    const clients::crowd c = {.name = "ifstream, named pipe", .most_ms = 1000};
    const auto path_of = [&](int i) { return argv[1] + ("/" + std::to_string(i)); };
    for (int i = 0; i < c.operations; ++i) expect(::mkfifo(path_of(i).c_str(), 0600) == 0, "mkfifo");
    clients::run(c, [&](int i) {
      const std::string path = path_of(i), line = "line " + std::to_string(i);
      const int writer = ::open(path.c_str(), O_RDWR | O_CLOEXEC);  // does not wait for a reader
      expect(writer >= 0, path);
      const auto other = coir::spawn(write_late, writer, line + "\n");
      std::ifstream file(path);
      std::string got;
      expect(static_cast<bool>(std::getline(file, got)) && got == line, "the line");
      expect(!std::getline(file, got) && file.eof(), "the end");
      other.get();
    });
  });
}

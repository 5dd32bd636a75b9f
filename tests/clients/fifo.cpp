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

// Writes a line, late, into what `open` gives, and closes it.
template <class Open>
void write_late(Open open, const std::string& line) {
  ::usleep(writer_us);
  const int fd = open();
  expect(fd >= 0, "open");
  const bool whole = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  ::close(fd);
  expect(whole, "write");
}

void read_to_end(const std::string& path, const std::string& line) {
  std::ifstream file(path);
  std::string got;
  expect(static_cast<bool>(std::getline(file, got)) && got == line, "the line");
  expect(!std::getline(file, got) && file.eof(), "the end");
}

}  // namespace

int main(int, char** argv) {
  return clients::session([&] {
    clients::crowd c = {.name = "ifstream, named pipe", .most_ms = 1000};
    const auto path_of = [&](int i) { return argv[1] + ("/" + std::to_string(i)); };
    for (int i = 0; i < c.operations; ++i) expect(::mkfifo(path_of(i).c_str(), 0600) == 0, "mkfifo");
    clients::run(c, [&](int i) {
      const std::string path = path_of(i), line = "line " + std::to_string(i);
      const int writer = ::open(path.c_str(), O_RDWR | O_CLOEXEC);  // does not wait for a reader
      const auto other = coir::spawn([=] { write_late([=] { return writer; }, line + "\n"); });
      read_to_end(path, line);
      other.get();
    });
    c.name = "ifstream, named pipe that nobody writes to yet";
    clients::run(c, [&](int i) {
      const std::string path = path_of(i), line = "line " + std::to_string(i);
      const auto open = [path] { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC); };
      const auto other = coir::spawn([=] { write_late(open, line + "\n"); });
      read_to_end(path, line);
      other.get();
    });
  });
}

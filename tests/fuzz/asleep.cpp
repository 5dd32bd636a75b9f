#include "asleep.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace fuzz {
namespace {

// The letter that /proc/PID/stat has after the name, which is in parentheses; 0 if there is none.
char state_in(const std::string& path) {
  const int f = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (f < 0) return 0;
  char text[512];
  const ssize_t n = read(f, text, sizeof text - 1);
  close(f);
  if (n <= 0) return 0;
  text[n] = 0;
  const char* end = strrchr(text, ')');
  return end != nullptr && end[1] != 0 ? end[2] : '\0';
}

struct closes {
  void operator()(DIR* d) const { closedir(d); }
};

}  // namespace

bool asleep(pid_t process) {
  const std::string threads = "/proc/" + std::to_string(process) + "/task";
  const std::unique_ptr<DIR, closes> all(opendir(threads.c_str()));
  if (all == nullptr) return true;
  while (const dirent* one = readdir(all.get())) {
    if (one->d_name[0] == '.') continue;
    const char state = state_in(threads + "/" + one->d_name + "/stat");
    if (state == 'R' || state == 'D') return false;
  }
  return true;
}

}  // namespace fuzz

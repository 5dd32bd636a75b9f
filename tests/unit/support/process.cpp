#include "support/process.hpp"

#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <system_error>

namespace unit {

namespace {
std::size_t entries(const char* path) {
  DIR* directory = ::opendir(path);
  if (directory == nullptr)
    throw std::system_error(errno, std::system_category(), std::string("opendir ") + path);
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count;
}
}  // namespace

std::size_t open_descriptors() {
  return entries("/proc/self/fd") - 1;  // without the directory's own
}

std::size_t threads() {
  return entries("/proc/self/task");
}

std::size_t mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

captured_stderr::captured_stderr() : file_(::memfd_create("stderr", MFD_CLOEXEC)), saved_(::dup(2)) {
  if (file_ < 0 || saved_ < 0 || ::dup2(file_, 2) < 0)
    throw std::system_error(errno, std::system_category(), "capturing stderr");
}

captured_stderr::~captured_stderr() {
  ::dup2(saved_, 2);
  ::close(saved_);
  ::close(file_);
}

std::string captured_stderr::text() const {
  std::string all;
  char part[4096];
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(file_, part, sizeof part, at);
    if (n <= 0) return all;
    all.append(part, static_cast<std::size_t>(n));
    at += n;
  }
}

}  // namespace unit

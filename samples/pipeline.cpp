// Shows: pipelines of child processes, several at once: posix_spawn, pipe, read and waitpid.
// Try:   ./pipeline       (pipelines of 1.0, 0.8 and 0.6 s take 1.0 s)

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using texts = std::vector<std::string>;

void check(int error, const char* what) {
  if (error != 0) throw std::system_error(error, std::generic_category(), what);
}

// Starts a shell command that reads from `in`, and puts there the end of the pipe that it writes to.
pid_t start(std::string command, int& in) {
  std::array<int, 2> out{};
  check(::pipe2(out.data(), O_CLOEXEC) == 0 ? 0 : errno, "pipe2");
  posix_spawn_file_actions_t wiring;
  check(::posix_spawn_file_actions_init(&wiring), "posix_spawn");
  check(::posix_spawn_file_actions_adddup2(&wiring, in, STDIN_FILENO), "posix_spawn");
  check(::posix_spawn_file_actions_adddup2(&wiring, out[1], STDOUT_FILENO), "posix_spawn");
  std::string shell = "sh", option = "-c";
  char* const words[] = {shell.data(), option.data(), command.data(), nullptr};
  pid_t child = -1;
  check(::posix_spawnp(&child, "sh", &wiring, nullptr, words, environ), "posix_spawn");
  ::posix_spawn_file_actions_destroy(&wiring);
  ::close(in);
  ::close(out[1]);
  in = out[0];
  return child;
}

std::string run(const texts& commands) {
  int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::vector<pid_t> children;
  for (const std::string& command : commands) children.push_back(start(command, in));
  std::string output;
  std::array<char, 4096> part;
  ssize_t size = 0;
  while ((size = ::read(in, part.data(), part.size())) > 0)
    output.append(part.data(), static_cast<std::size_t>(size));
  ::close(in);
  for (const pid_t child : children) {
    int status = -1;
    if (::waitpid(child, &status, 0) != child || status != 0) throw std::runtime_error("a command fails");
  }
  return output;
}

}  // namespace

int main() try {
  const auto begin = std::chrono::steady_clock::now();
  const auto all = {
      coir::spawn(run, texts{"sleep 1.0; seq 1999", "cut -c 1", "sort", "uniq -c"}),
      coir::spawn(run, texts{"sleep 0.8; seq 100000", "sort -n", "tail -n 2"}),
      coir::spawn(run, texts{"sleep 0.6; seq 100000", "tr -d 1-9", "sort -u"}),
  };
  for (const std::string& output : coir::gather(all)) std::printf("%s--\n", output.c_str());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  std::printf("%.2f s\n", elapsed.count());
} catch (const std::exception& error) {
  std::fprintf(stderr, "pipeline: %s\n", error.what());
  return 1;
}

#include "support/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <cstdlib>
#include <map>
#include <system_error>

namespace fault {
namespace {

std::map<std::string, scenario>& scenarios() {
  static std::map<std::string, scenario> all;
  return all;
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

}  // namespace

registration::registration(const char* name, scenario body) {
  scenarios()[name] = body;
}

scenario find(const std::string& name) {
  const auto found = scenarios().find(name);
  return found == scenarios().end() ? nullptr : found->second;
}

void say(const std::string& text) {
  const std::string line = text + "\n";
  if (::write(1, line.data(), line.size()) < 0) ::_exit(99);
}

bool ended::exited(int code) const {
  return status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == code;
}
bool ended::killed_by(int signal) const {
  return status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

std::string ended::text() const {
  std::string how = "killed after the time limit";
  if (status >= 0 && WIFEXITED(status)) how = "exit status " + std::to_string(WEXITSTATUS(status));
  if (status >= 0 && WIFSIGNALED(status)) how = "signal " + std::to_string(WTERMSIG(status));
  return how + "\nstdout: " + out + "\nstderr: " + err;
}

ended run(const std::string& name, const std::vector<std::pair<std::string, std::string>>& environment,
          std::chrono::seconds limit) {
  int out[2], err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) fail("pipe2");
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    ::setpgid(0, 0);  // so that its own children can be ended with it
    ::dup2(out[1], 1);
    ::dup2(err[1], 2);
    // Scenarios leave fibers waiting for ever, and all they hold.
    const char* options = ::getenv("ASAN_OPTIONS");
    ::setenv("ASAN_OPTIONS",
             ((options != nullptr ? std::string(options) + ":" : "") + "detect_leaks=0").c_str(), 1);
    for (const auto& [variable, value] : environment)
      value.empty() ? ::unsetenv(variable.c_str()) : ::setenv(variable.c_str(), value.c_str(), 1);
    ::execl("/proc/self/exe", "fault_tests", "--scenario", name.c_str(), nullptr);
    ::_exit(98);
  }
  ::close(out[1]);
  ::close(err[1]);
  ended result;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  pollfd fds[] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  bool killed = false;
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || result.err.size() > 10'000'000) {
      ::kill(-pid, SIGKILL);
      killed = true;
      break;
    }
    if (::poll(fds, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char part[4096];
      const ssize_t n = ::read(fds[i].fd, part, sizeof part);
      if (n > 0)
        (i == 0 ? result.out : result.err).append(part, static_cast<std::size_t>(n));
      else if (n == 0)
        fds[i].fd = -1;
    }
  }
  ::close(out[0]);
  ::close(err[0]);
  if (::waitpid(pid, &result.status, 0) < 0) fail("waitpid");
  if (killed) result.status = -1;
  if (result.err.size() > 20'000) result.err.resize(20'000);
  return result;
}

int fork_to(const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(60);
    int status = 50;
    try {
      status = work();
    } catch (const coir::timed_out&) {
      status = 51;
    } catch (const coir::cancelled&) {
      status = 52;
    } catch (const std::exception& e) {
      say(std::string("child: ") + e.what());
    }
    ::_exit(status);
  }
  int status = 0;
  while (::waitpid(pid, &status, WNOHANG) == 0) coir::this_fiber::sleep_for(std::chrono::milliseconds(1));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

}  // namespace fault

#include "coir/subprocess.hpp"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "base/raw.hpp"
#include "coir/this_fiber.hpp"
#include "task/child.hpp"
#include "task/launch.hpp"
#include "task/watch.hpp"
#include "wait/forget.hpp"
#include "wait/waiter.hpp"

namespace coir {
namespace {

using base::raw;
using base::word;

constexpr std::size_t chunk = 64 * 1024;  // what a pipe holds

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument("coir::subprocess: " + what);
}

// A descriptor that is closed with its scope.
class scoped_fd {
 public:
  scoped_fd() noexcept = default;
  scoped_fd(const scoped_fd&) = delete;
  scoped_fd& operator=(const scoped_fd&) = delete;
  ~scoped_fd() { reset(); }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) wait::close(fd_);
    fd_ = fd;
  }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

long checked(long result, const std::string& what) {
  if (result < 0) throw std::system_error(static_cast<int>(-result), std::system_category(), what);
  return result;
}

int flags_of(redirect::modes m) noexcept {
  switch (m) {
    case redirect::modes::read:
      return O_RDONLY;
    case redirect::modes::write:
      return O_WRONLY | O_CREAT | O_TRUNC;
    case redirect::modes::append:
      return O_WRONLY | O_CREAT | O_APPEND;
    default:
      return O_RDWR;
  }
}

// One standard stream: the child's side, and for a pipe the parent's.
struct stream_ends {
  scoped_fd child, parent;

  void open(const redirect& r, bool parent_writes, const std::string& what) {
    switch (r.kind()) {
      case redirect::kinds::pipe: {
        int ends[2];
        checked(raw(SYS_pipe2, word(ends), O_CLOEXEC), what + ": pipe");
        parent.reset(ends[parent_writes ? 1 : 0]);
        child.reset(ends[parent_writes ? 0 : 1]);
        // A description of its own: the child's side stays a blocking one.
        checked(raw(SYS_fcntl, parent.get(), F_SETFL, (parent_writes ? O_WRONLY : O_RDONLY) | O_NONBLOCK),
                what + ": pipe");
        break;
      }
      case redirect::kinds::file: {
        const std::string which = what + ": " + r.path();
        const int flags = flags_of(r.mode()) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;  // a FIFO would block
        long fd;
        while ((fd = raw(SYS_openat, AT_FDCWD, word(r.path().c_str()), flags, 0666)) == -EINTR) {
        }
        child.reset(static_cast<int>(checked(fd, which)));
        const long now = checked(raw(SYS_fcntl, fd, F_GETFL), which);
        checked(raw(SYS_fcntl, fd, F_SETFL, now & ~O_NONBLOCK), which);
        break;
      }
      case redirect::kinds::descriptor:
        child.reset(static_cast<int>(checked(raw(SYS_fcntl, r.fd(), F_DUPFD_CLOEXEC, 3),
                                             what + ": descriptor " + std::to_string(r.fd()))));
        break;
      default:
        return;
    }
    if (child.get() < 3)  // the child's 0, 1 and 2 are made one after the other
      child.reset(
          static_cast<int>(checked(raw(SYS_fcntl, child.get(), F_DUPFD_CLOEXEC, 3), what + ": pipe")));
  }
};

void check_string(const char* what, const std::string& s) {
  if (s.find('\0') != std::string::npos)
    refuse(std::string(what) + "=\"" + s.c_str() + "\\0…\": expected a string without zero bytes");
}

std::vector<std::string> environment_of(const subprocess_options& o) {
  std::vector<std::string> all;
  if (o.inherit_environment)
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
      const char* end = ::strchr(*variable, '=');
      if (end == nullptr || !o.environment.contains({*variable, static_cast<std::size_t>(end - *variable)}))
        all.emplace_back(*variable);
    }
  for (const auto& [name, value] : o.environment) {
    check_string("environment", name);
    if (name.empty() || name.find('=') != std::string::npos)
      refuse("environment: name=\"" + name + "\": expected a name without '='");
    if (!value) continue;
    check_string("environment", *value);
    all.push_back(name + "=" + *value);
  }
  return all;
}

// The files that a program's name stands for.
std::vector<std::string> candidates(const std::string& program, const std::vector<std::string>& environment) {
  if (program.empty() || program.find('/') != std::string::npos) return {program};
  std::string path = "/usr/local/bin:/bin:/usr/bin";
  for (const std::string& variable : environment)
    if (variable.starts_with("PATH=")) path = variable.substr(5);
  std::vector<std::string> all;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    all.push_back(end == at ? program : path.substr(at, end - at) + "/" + program);
    at = end + 1;
  }
  return all;
}

task::launched start(const std::vector<std::string>& argv, const subprocess_options& o,
                     std::array<stream_ends, 3>& streams) {
  if (argv.empty()) refuse("argv={}: expected the program's name at least");
  for (const std::string& a : argv) check_string("argv", a);
  check_string("cwd", o.cwd);
  const std::string what = "subprocess " + argv.front();
  task::launch_plan plan;
  for (const int fd : o.pass_fds) {  // before the pipes take numbers that are free
    if (fd < 0) refuse("pass_fds: " + std::to_string(fd) + ": expected a descriptor");
    if (fd <= 2) continue;
    checked(raw(SYS_fcntl, fd, F_GETFD), what + ": pass_fds: " + std::to_string(fd));
    plan.kept.push_back(fd);
  }
  std::sort(plan.kept.begin(), plan.kept.end());
  plan.kept.erase(std::unique(plan.kept.begin(), plan.kept.end()), plan.kept.end());
  const redirect* wanted[] = {&o.in, &o.out, &o.err};
  for (int i = 0; i < 3; ++i) {
    if (wanted[i]->kind() == redirect::kinds::to_out && i != 2)
      refuse("redirect::to_out: expected for err only");
    check_string("path", wanted[i]->path());
    streams[static_cast<std::size_t>(i)].open(*wanted[i], i == 0, what);
  }

  plan.arguments = &argv;
  plan.environment = environment_of(o);
  plan.candidates = candidates(argv.front(), plan.environment);
  plan.cwd = o.cwd.empty() ? nullptr : o.cwd.c_str();
  for (std::size_t i = 0; i < 3; ++i) plan.streams[i] = streams[i].child.get();
  plan.err_to_out = o.err.kind() == redirect::kinds::to_out;
  plan.new_session = o.new_session;
  plan.new_group = o.new_group;
  return task::launch(plan);
}

void take_all_there(pipe_stream& from, std::string& to, const std::string& what) {
  from.take_ahead(to);
  int there = 0;
  checked(raw(SYS_ioctl, from.native_handle(), FIONREAD, word(&there)), what);
  while (there > 0) {
    const long n = from.read_now(to, static_cast<std::size_t>(there));
    if (n == 0 || n == -EAGAIN) return;
    there -= static_cast<int>(std::min<long>(checked(n, what), there));
  }
}

}  // namespace

struct subprocess::state {
  std::optional<task::child> process;
  pipe_stream in, out, err;
  bool kill_at_destruction = false;
  std::string program;
  std::string input;  // of communicate
  std::size_t written = 0;
  subprocess_result collected;

  ~state() {
    in.close();
    out.close();
    err.close();
    if (!process || !kill_at_destruction || process->poll()) return;
    try {
      const this_fiber::shield undisturbed;
      if (process->signal(SIGKILL) == 0) process->wait(base::never);
    } catch (...) {
      // It could not be waited for, and is left to the reaper.
    }
  }

  // Each does a step that does not wait. True: another may follow at once; else it is over or has to wait.
  bool write_input();
  bool read_output(pipe_stream& from, std::string& to);
  void end_input() noexcept;
};

void subprocess::state::end_input() noexcept {
  in.close();
  input = {};
  written = 0;
}

bool subprocess::state::write_input() {
  if (!in.is_open()) return false;
  if (written < input.size()) {
    const long n = in.write_now(std::string_view(input).substr(written, chunk));
    if (n == -EAGAIN) return false;
    if (n != -EPIPE) {
      written += static_cast<std::size_t>(checked(n, "subprocess " + program + ": write"));
      return true;
    }
  }
  end_input();
  return false;
}

bool subprocess::state::read_output(pipe_stream& from, std::string& to) {
  if (!from.is_open()) return false;
  const long n = from.read_now(to, chunk);
  if (n == -EAGAIN) return false;
  if (checked(n, "subprocess " + program + ": read") == 0) from.close();
  return n != 0;
}

subprocess::subprocess(const std::vector<std::string>& argv, const subprocess_options& options)
    : state_(std::make_unique<state>()) {
  if (!argv.empty()) state_->program = argv.front();
  std::array<stream_ends, 3> streams;
  const task::launched started = start(argv, options, streams);
  state_->process.emplace(started.pid, started.pidfd);
  state_->kill_at_destruction = options.kill_at_destruction;
  pipe_stream* const ours[] = {&state_->in, &state_->out, &state_->err};
  for (std::size_t i = 0; i < 3; ++i)
    if (streams[i].parent.get() >= 0) ours[i]->adopt(streams[i].parent.release());
}

subprocess::subprocess(subprocess&&) noexcept = default;
subprocess& subprocess::operator=(subprocess&&) noexcept = default;
subprocess::~subprocess() = default;

std::vector<std::string> subprocess::shell(std::string command) {
  return {"/bin/sh", "-c", std::move(command)};
}

subprocess_result subprocess::run(const std::vector<std::string>& argv, const subprocess_options& options,
                                  std::string input) {
  subprocess_options o = options;
  o.kill_at_destruction = true;
  if (!input.empty()) o.in = redirect::pipe();
  return subprocess(argv, o).communicate(std::move(input));
}

std::string subprocess::check_output(const std::vector<std::string>& argv, const subprocess_options& options,
                                     std::string input) {
  subprocess_options o = options;
  o.out = redirect::pipe();
  subprocess_result r = run(argv, o, std::move(input));
  if (!r.status.success()) throw subprocess_failed(argv.front(), std::move(r));
  return std::move(r.out);
}

pid_t subprocess::id() const noexcept {
  return state_->process->pid();
}
pipe_stream& subprocess::in() noexcept {
  return state_->in;
}
pipe_stream& subprocess::out() noexcept {
  return state_->out;
}
pipe_stream& subprocess::err() noexcept {
  return state_->err;
}
const subprocess_result& subprocess::collected() const noexcept {
  return state_->collected;
}

std::optional<exit_status> subprocess::poll() {
  return state_->process->poll();
}

std::optional<exit_status> subprocess::wait_until_ns(std::int64_t deadline_ns) {
  return state_->process->wait(deadline_ns);
}

bool subprocess::send_signal(int number) {
  const long r = state_->process->signal(number);
  if (r == -EINVAL)
    throw std::invalid_argument("coir::subprocess::send_signal: number=" + std::to_string(number) +
                                ": expected a signal");
  if (r != -ESRCH) checked(r, "subprocess " + state_->program + ": signal " + std::to_string(number));
  return r == 0;
}
bool subprocess::terminate() {
  return send_signal(SIGTERM);
}
bool subprocess::kill() {
  return send_signal(SIGKILL);
}

std::optional<subprocess_result> subprocess::communicate_until_ns(std::string input, until when,
                                                                  std::int64_t deadline_ns) {
  state& s = *state_;
  if (!input.empty()) {
    if (!s.in.is_open() || !s.input.empty())
      throw std::invalid_argument("coir::subprocess::communicate: input of " + std::to_string(input.size()) +
                                  " bytes: expected none, as stdin is no pipe, closed, or has its input");
    s.input = std::move(input);
  }
  for (bool in_time = true;; this_fiber::check_cancelled()) {
    const std::optional<exit_status> ended = poll();  // before the reads: they find what it wrote
    if (ended) s.collected.status = *ended;
    if (ended && when == until::ended) {
      const std::string what = "subprocess " + s.program + ": read";
      if (s.out.is_open()) take_all_there(s.out, s.collected.out, what);
      if (s.err.is_open()) take_all_there(s.err, s.collected.err, what);
      s.out.close();
      s.err.close();
    }
    bool more = s.write_input();
    more |= s.read_output(s.out, s.collected.out);
    more |= s.read_output(s.err, s.collected.err);
    if (ended && !s.out.is_open() && !s.err.is_open()) {
      s.end_input();
      return std::exchange(s.collected, {*ended, {}, {}});
    }
    if (!in_time) return std::nullopt;
    if (more) {
      sched::scheduler& here = sched::scheduler::ensure();
      here.charge();
      in_time = deadline_ns == base::never || here.now() < deadline_ns;
      continue;
    }

    std::array<task::watched, 4> open;
    std::size_t count = 0;
    if (s.in.is_open()) open[count++] = {s.in.native_handle(), EPOLLOUT};
    if (s.out.is_open()) open[count++] = {s.out.native_handle(), EPOLLIN};
    if (s.err.is_open()) open[count++] = {s.err.native_handle(), EPOLLIN};
    if (!ended) open[count++] = {s.process->pidfd(), EPOLLIN};
    in_time = task::wait_any({open.data(), count}, "subprocess", deadline_ns);
  }
}

}  // namespace coir

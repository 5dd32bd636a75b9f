#include "task/launch.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <memory>
#include <system_error>

#include "base/raw.hpp"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

namespace coir::task {
namespace {

using base::raw;
using base::word;

constexpr std::size_t stack_size = 64 * 1024;

// What parent and child share while the child borrows the memory.
struct shared {
  const launch_plan& plan;
  const char* const* candidates;  // null at the end, as the next two
  const char* const* arguments;
  const char* const* environment;
  std::uint64_t mask;
  const char* step = nullptr;  // that failed; null: the program's own start
  long error = 0;
};

long fails(shared& s, const char* step, long result) noexcept {
  if (result >= 0) return 0;
  s.step = step;
  s.error = result;
  return result;
}

// As the kernel takes it: handler, flags, restorer, mask.
struct kernel_action {
  unsigned long handler, flags, restorer, mask;
};

// Handlers would run in the parent's memory.
void reset_handlers() noexcept {
  const auto ignored = reinterpret_cast<unsigned long>(SIG_IGN);
  for (int signal = 1; signal <= 64; ++signal) {
    kernel_action now = {};
    const kernel_action plain = {};
    if (raw(SYS_rt_sigaction, signal, 0, word(&now), sizeof now.mask) != 0) continue;
    if (now.handler == 0 || (now.handler == ignored && signal != SIGPIPE)) continue;
    raw(SYS_rt_sigaction, signal, word(&plain), 0, sizeof plain.mask);
  }
}

void close_range(unsigned first, unsigned last) noexcept {
  if (first > last || raw(SYS_close_range, first, last, 0) == 0) return;
  rlimit limit = {};
  raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, word(&limit));
  for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; ++fd) raw(SYS_close, fd);
}

long pass_descriptors(shared& s) noexcept {
  for (int to = 0; to < 3; ++to)
    if (s.plan.streams[to] >= 0)
      if (const long r = fails(s, "dup", raw(SYS_dup3, s.plan.streams[to], to, 0)); r != 0) return r;
  if (s.plan.err_to_out)
    if (const long r = fails(s, "err to out", raw(SYS_dup3, 1, 2, 0)); r != 0) return r;
  unsigned next = 3;
  for (const int fd : s.plan.kept) {
    if (const long r = fails(s, "pass_fds", raw(SYS_fcntl, fd, F_SETFD, 0)); r != 0) return r;
    close_range(next, static_cast<unsigned>(fd) - 1);
    next = static_cast<unsigned>(fd) + 1;
  }
  close_range(next, ~0U);
  return 0;
}

void execute(shared& s) noexcept {
  long error = 0;
  for (const char* const* file = s.candidates; *file != nullptr; ++file) {
    const long r = raw(SYS_execve, word(*file), word(s.arguments), word(s.environment));
    // As the shell: goes on looking, and remembers a file that may not be run.
    if (error != -EACCES) error = r;
    if (r != -ENOENT && r != -ENOTDIR && r != -EACCES) break;
  }
  s.error = error;  // not before: the next one may be found
}

int run_child(void* context) noexcept {
  shared& s = *static_cast<shared*>(context);
  reset_handlers();
  if (s.plan.new_session)
    fails(s, "setsid", raw(SYS_setsid));
  else if (s.plan.new_group)
    fails(s, "setpgid", raw(SYS_setpgid, 0, 0));
  if (s.error == 0) pass_descriptors(s);
  if (s.error == 0 && s.plan.cwd != nullptr) fails(s, "cwd", raw(SYS_chdir, word(s.plan.cwd)));
  if (s.error == 0) {
    raw(SYS_rt_sigprocmask, SIG_SETMASK, word(&s.mask), 0, sizeof s.mask);
    execute(s);
  }
  raw(SYS_exit_group, 127);
  return 0;
}

std::vector<const char*> pointers(const std::vector<std::string>& strings) {
  std::vector<const char*> all;
  all.reserve(strings.size() + 1);
  for (const std::string& s : strings) all.push_back(s.c_str());
  all.push_back(nullptr);
  return all;
}

}  // namespace

launched launch(const launch_plan& plan) {
  const auto candidates = pointers(plan.candidates), arguments = pointers(*plan.arguments),
             environment = pointers(plan.environment);
  const std::unique_ptr<std::byte[]> stack(new std::byte[stack_size]);
  const std::string what = "subprocess " + plan.arguments->front();  // memory for it may be refused now
  shared s{plan, candidates.data(), arguments.data(), environment.data(), 0};

  const std::uint64_t all = ~std::uint64_t{0};
  int pidfd = -1;
  raw(SYS_rt_sigprocmask, SIG_BLOCK, word(&all), word(&s.mask), sizeof all);
  const int pid = ::clone(run_child, stack.get() + stack_size, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                          &s, &pidfd);
  const int error = errno;
  raw(SYS_rt_sigprocmask, SIG_SETMASK, word(&s.mask), 0, sizeof all);

  if (pid < 0) throw std::system_error(error, std::system_category(), what + ": clone");
  if (s.error == 0) return {pid, pidfd};
  if (pidfd >= 0) raw(SYS_close, pidfd);
  while (raw(SYS_wait4, pid, 0, 0, 0) == -EINTR) {  // it is gone in no time
  }
  std::string step = s.step == nullptr ? "" : std::string(": ") + s.step;
  if (step == ": cwd") step = step + " " + plan.cwd;
  throw std::system_error(static_cast<int>(-s.error), std::system_category(), what + step);
}

}  // namespace coir::task

#include "task/fork_server.hpp"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio_ext.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "base/raw.hpp"
#include "base/signal_bits.hpp"
#include "coir/fiber.hpp"
#include "coir/this_fiber.hpp"
#include "sys/own_fds.hpp"
#include "task/private_fds.hpp"
#include "task/watch.hpp"
#include "task/worker.hpp"
#include "wait/waiter.hpp"

namespace coir::task {

using base::raw;
using base::word;

// What it is asked. Answered by a number: the worker's, its status as of waitpid, or -errno;
// kill_workers by nothing.
struct fork_server::request {
  enum kinds : int { start_one, bury_one, kill_workers } kind;
  int worker;
  int fd = -1;  // for start: goes beside the bytes
};

namespace {

constexpr std::size_t stack_of_calls = 8 * 1024 * 1024;  // as a main thread has it

[[noreturn]] void fail(const char* what, long error) {
  throw std::system_error(static_cast<int>(-error), std::system_category(),
                          std::string("coir::process_pool: ") + what);
}

// A packet and perhaps a descriptor.
struct packet {
  iovec bytes;
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};

  packet(void* data, std::size_t size) noexcept : bytes{data, size} {
    header.msg_iov = &bytes;
    header.msg_iovlen = 1;
  }
  packet(const packet&) = delete;
  packet& operator=(const packet&) = delete;

  void make_room() noexcept {
    header.msg_control = room;
    header.msg_controllen = sizeof room;
  }
  void attach(int fd) noexcept {
    make_room();
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  int attached() noexcept {
    int fd = -1;
    if (const cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr && c->cmsg_type == SCM_RIGHTS)
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
  }
};

// --- in the server ---

void set_signals(std::uint64_t blocked) noexcept {
  raw(SYS_rt_sigprocmask, SIG_SETMASK, word(&blocked), 0, sizeof blocked);
}

void close_all_but(int kept) noexcept {
  const auto close = [](unsigned first, unsigned last) {
    if (first > last || raw(SYS_close_range, first, last, 0) == 0) return;
    rlimit limit = {};
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, word(&limit));
    for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; ++fd) raw(SYS_close, fd);
  };
  close(3, static_cast<unsigned>(kept) - 1);
  close(static_cast<unsigned>(kept) + 1, ~0U);
}

// What was the parent's: handlers, descriptors, what it had not yet written.
void become_plain(int kept) noexcept {
  struct sigaction plain = {};
  for (int signal = 1; signal <= 64; ++signal) {
    plain.sa_handler = signal == SIGINT ? SIG_IGN : SIG_DFL;  // of a terminal's it is for the parent to hear
    ::sigaction(signal, &plain, nullptr);
  }
  const long null = raw(SYS_openat, AT_FDCWD, word("/dev/null"), O_RDWR, 0);
  if (null > 0) raw(SYS_dup3, null, 0, 0);
  for (int fd = 1; fd <= 2; ++fd)  // no other is to take its number
    if (null >= 0 && raw(SYS_fcntl, fd, F_GETFD) < 0) raw(SYS_dup3, null, fd, 0);
  close_all_but(kept);
  ::__fpurge(stdout);
  ::__fpurge(stderr);
}

class server {
 public:
  explicit server(int control) noexcept : control_(control) {}

  [[noreturn]] void run() noexcept {
    const std::uint64_t ended = base::bit(SIGCHLD);
    set_signals(ended);
    ends_ = move_up(raw(SYS_signalfd4, -1, word(&ended), sizeof ended, SFD_CLOEXEC | SFD_NONBLOCK));
    for (;;) {
      pollfd wanted[] = {{control_, POLLIN, 0}, {ends_, POLLIN, 0}};
      raw(SYS_ppoll, word(wanted), 2, 0, 0, 8);
      if (wanted[1].revents != 0) reap();
      if (wanted[0].revents != 0) answer();
    }
  }

 private:
  struct record {
    pid_t pid;
    int fd;  // its socket
    bool ended;
    int status;
  };

  void reap() noexcept {
    signalfd_siginfo info;
    while (raw(SYS_read, ends_, word(&info), sizeof info) > 0) {
    }
    for (record& r : workers_)
      if (!r.ended) take_status(r, WNOHANG);
  }

  void take_status(record& r, int how) noexcept {
    siginfo_t info = {};
    long got;
    while ((got = raw(SYS_waitid, P_PID, r.pid, word(&info), WEXITED | WNOWAIT | how, 0)) == -EINTR) {
    }
    if (got == 0 && info.si_pid == 0) return;
    r.ended = true;
    raw(SYS_shutdown, r.fd, SHUT_RDWR);  // I1; before the process is gone for those who look for it
    sys::close_own_fd(std::exchange(r.fd, -1));
    while (raw(SYS_wait4, r.pid, word(&r.status), 0, 0) == -EINTR) {
    }
  }

  void kill_all() noexcept {
    for (const record& r : workers_)
      if (!r.ended) raw(SYS_kill, r.pid, SIGKILL);
  }

  void answer() noexcept {
    fork_server::request r;
    packet p(&r, sizeof r);
    p.make_room();
    const long n = raw(SYS_recvmsg, control_, word(&p.header), MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n == -EAGAIN || n == -EINTR) return;
    if (n != sizeof r) {
      kill_all();
      for (record& w : workers_)
        if (!w.ended) take_status(w, 0);
      raw(SYS_exit_group, 0);
    }
    if (r.kind == fork_server::request::kill_workers) return kill_all();
    const long result =
        r.kind == fork_server::request::start_one ? start(move_up(p.attached())) : bury(r.worker);
    raw(SYS_sendto, control_, word(&result), sizeof result, MSG_NOSIGNAL, 0, 0);
  }

  long start(int fd) noexcept {
    if (fd < 0) return -EMFILE;  // it did not arrive
    const long here = raw(SYS_getpid);
    long pid = -ENOMEM;
    try {
      workers_.reserve(workers_.size() + 1);
      pid = ::fork();
      if (pid < 0) pid = -errno;
    } catch (const std::bad_alloc&) {
    }
    if (pid == 0) {
      raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
      if (raw(SYS_getppid) != here) raw(SYS_exit_group, 0);
      raw(SYS_close, control_);
      raw(SYS_close, ends_);
      for (const record& r : workers_) raw(SYS_close, r.fd);
      set_signals(0);
      work(keep_private(fd));
    }
    if (pid > 0)
      workers_.push_back({static_cast<pid_t>(pid), fd, false, 0});
    else
      sys::close_own_fd(fd);
    return pid;
  }

  long bury(pid_t pid) noexcept {
    const auto at =
        std::find_if(workers_.begin(), workers_.end(), [pid](const record& r) { return r.pid == pid; });
    if (at == workers_.end()) return -ESRCH;
    if (!at->ended) {
      raw(SYS_kill, pid, SIGKILL);  // too late for one that is about to end otherwise
      take_status(*at, 0);
    }
    const int status = at->status;
    workers_.erase(at);
    return status;
  }

  const int control_;
  int ends_ = -1;
  std::vector<record> workers_;
};

}  // namespace

// --- in the pool's process ---

fork_server::fork_server() {
  int ends[2];
  if (const long r = private_pair(SOCK_SEQPACKET, ends); r < 0) fail("socketpair", r);
  long pid = 0;
  const auto fork_here = [&pid, ends] {
    pid = fork_with(ends[1]);
    if (pid < 0) pid = -errno;
    if (pid != 0) return;
    become_plain(ends[1]);
    server(ends[1]).run();
  };
  try {
    // On a stack of its own, as deep as calls may want it, with nothing of the caller's above.
    if (sched::scheduler::ensure().guest() == nullptr) {
      const this_fiber::shield undisturbed;
      spawn(attributes{.name = "fork server", .stack_size = stack_of_calls}, fork_here).get();
    } else {
      fork_here();
    }
    if (pid < 0) fail("fork", pid);
  } catch (...) {
    close_private(ends[0]);
    close_private(ends[1]);
    throw;
  }
  close_private(ends[1]);
  process_.emplace(static_cast<pid_t>(pid), static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
  control_ = ends[0];
}

fork_server::~fork_server() {
  if (control_ >= 0) close_private(control_);
}

long fork_server::ask(const request& r) {
  const std::scoped_lock one_at_a_time(asking_);
  request copy = r;
  packet p(&copy, sizeof copy);
  if (r.fd >= 0) p.attach(r.fd);
  long n, result = -ECHILD;  // if the server has gone
  while ((n = raw(SYS_sendmsg, control_, word(&p.header), MSG_DONTWAIT | MSG_NOSIGNAL)) == -EAGAIN) {
    const watched room[] = {{control_, EPOLLOUT}};
    wait_any(room, "fork server");
  }
  while (n >= 0 &&
         (n = raw(SYS_recvfrom, control_, word(&result), sizeof result, MSG_DONTWAIT, 0, 0)) == -EAGAIN) {
    const watched answer[] = {{control_, EPOLLIN}};
    wait_any(answer, "fork server");
    n = 0;
  }
  return result;
}

fork_server::worker fork_server::start() {
  int ends[2];
  if (const long r = private_pair(SOCK_STREAM, ends); r < 0) fail("socketpair", r);
  long pid;
  try {
    pid = ask({request::start_one, 0, ends[1]});
  } catch (...) {
    close_private(ends[0]);
    close_private(ends[1]);
    throw;
  }
  close_private(ends[1]);
  if (pid > 0) return {static_cast<pid_t>(pid), ends[0]};
  close_private(ends[0]);
  fail(pid == -ECHILD ? "the fork server has ended" : "fork", pid);
}

exit_status fork_server::bury(pid_t pid) {
  const long status = ask({request::bury_one, pid});
  return status < 0 ? exit_status() : exit_status::of_wait(static_cast<int>(status));
}

void fork_server::kill_all() noexcept {
  request r{request::kill_workers, 0};
  raw(SYS_sendto, control_, word(&r), sizeof r, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
}

void fork_server::stop() {
  raw(SYS_shutdown, control_, SHUT_RDWR);
  process_->wait(base::never);
}

}  // namespace coir::task

// usage: escapes NAME
// What audit_test.py looks at: system calls that a fiber makes by itself, each of which waits for some
// milliseconds
// ("waits") or would wait in another moment ("passes").
#include <coir/coir.hpp>

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

namespace {

template <class T>
long word(T value) {
  return (long)value;
}

// Not libc's: that is patched.
template <class... Args>
[[gnu::noinline]] long raw(long number, Args... args) {
  long a[6] = {word(args)...};
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

constexpr long a_moment = 3'000'000, a_while = 50'000'000;  // with a time-out of one's own; ended by another
const timespec moment = {0, a_moment}, none = {0, 0};
timespec soon(clockid_t clock) {
  timespec t;
  ::clock_gettime(clock, &t);
  t.tv_nsec += a_moment;
  if (t.tv_nsec >= 1'000'000'000) t = {t.tv_sec + 1, t.tv_nsec - 1'000'000'000};
  return t;
}

struct vector_of_one {
  std::uint64_t value, address;
  std::uint32_t flags, reserved;
};

int pipe_ends[2];
std::string folder;

pid_t child_that_ends_in(long nanoseconds) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const timespec t = {0, nanoseconds};
    raw(SYS_nanosleep, &t, nullptr);
    ::_exit(0);
  }
  return pid;
}

void wait_on_futexes(bool would) {
  std::uint32_t value = 1;
  const long seen = would ? 1 : 2;
  timespec until = soon(CLOCK_MONOTONIC);
  vector_of_one all[] = {{static_cast<std::uint64_t>(seen), reinterpret_cast<std::uint64_t>(&value), 2, 0}};
  raw(SYS_futex_waitv, all, 1, 0, &until, CLOCK_MONOTONIC);
  std::uint32_t target = 0;
  until = soon(CLOCK_MONOTONIC);
  raw(SYS_futex, &value, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, seen, &until, &target, 0);
  raw(SYS_futex, &value, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, would ? &moment : &none, 0, 0);
  // Held by another thread, or free.
  std::atomic<int> owner{0};
  std::atomic<bool> over{false};
  std::thread holder([&] {
    owner = static_cast<int>(::syscall(SYS_gettid));
    owner.notify_one();
    over.wait(false);
  });
  owner.wait(0);
  std::uint32_t lock = would ? static_cast<std::uint32_t>(owner.load()) : 0;
  until = soon(CLOCK_MONOTONIC);
  raw(SYS_futex, &lock, FUTEX_LOCK_PI2 | FUTEX_PRIVATE_FLAG, 0, &until, 0, 0);
  over = true;
  over.notify_one();
  holder.join();
}

void wait_for_events(bool would) {
  aio_context_t context = 0;
  io_event event;
  if (raw(SYS_io_setup, 4, &context) == 0) {
    raw(SYS_io_getevents, context, would ? 1 : 0, 1, &event, &moment);
    raw(SYS_io_pgetevents, context, 1, 1, &event, would ? &moment : &none, 0);
    raw(SYS_io_destroy, context);
  }
  io_uring_params how = {};
  const long ring = raw(SYS_io_uring_setup, 4, &how);
  if (ring >= 0) {
    const io_uring_getevents_arg more = {.sigmask = 0,
                                         .sigmask_sz = 0,
                                         .pad = 0,
                                         .ts = reinterpret_cast<std::uint64_t>(would ? &moment : &none)};
    raw(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &more, sizeof more);
    raw(SYS_close, ring);
  } else {
    std::fputs("no io_uring\n", stdout);
  }
}

void look_at_descriptors(bool would) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe_ends[would ? 0 : 1], &set);
  timeval t = {0, a_moment / 1000};
  raw(SYS_select, pipe_ends[1] + 1, would ? &set : nullptr, would ? nullptr : &set, nullptr, &t);
  FD_SET(pipe_ends[would ? 0 : 1], &set);
  raw(SYS_pselect6, pipe_ends[1] + 1, would ? &set : nullptr, would ? nullptr : &set, nullptr, &moment,
      nullptr);
  t = {0, 0};
  if (!would) raw(SYS_select, 0, nullptr, nullptr, nullptr, &t);
}

void open_a_fifo(bool would) {
  const std::string path = folder + "/fifo";
  if (::mkfifo(path.c_str(), 0600) != 0) std::abort();
  for (const long number :
       {static_cast<long>(SYS_open), static_cast<long>(SYS_openat2), static_cast<long>(SYS_creat)}) {
    const bool writes = number == SYS_creat;
    std::thread other;
    if (would)
      other = std::thread([&] { ::close(::open(path.c_str(), writes ? O_RDONLY : O_WRONLY)); });
    else if (writes)
      continue;
    const std::uint64_t how[3] = {static_cast<std::uint64_t>(would ? O_RDONLY : O_RDONLY | O_NONBLOCK), 0, 0};
    const long fd = number == SYS_open      ? raw(number, path.c_str(), how[0], 0)
                    : number == SYS_openat2 ? raw(number, AT_FDCWD, path.c_str(), how, sizeof how)
                                            : raw(number, path.c_str(), 0600);
    if (other.joinable()) other.join();
    raw(SYS_close, fd);
  }
  ::unlink(path.c_str());
}

void wait_for_children(bool would) {
  siginfo_t info = {};
  for (int i = 0; i < 2; ++i) {
    const pid_t pid = child_that_ends_in(would ? a_while : 0);
    while (!would && info.si_pid != pid) {
      ::usleep(1000);
      raw(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG, nullptr);
    }
    info = {};
    if (i == 0)
      raw(SYS_waitid, P_PID, pid, &info, WEXITED, nullptr);
    else
      raw(SYS_wait4, pid, nullptr, 0, nullptr);
  }
}

void use_system_v(bool would) {
  const int queue = ::msgget(IPC_PRIVATE, 0600), set = ::semget(IPC_PRIVATE, 1, 0600);
  if (queue < 0 || set < 0) return;
  struct {
    long type = 1;
    char text[8] = {};
  } message;
  sembuf take = {0, -1, 0}, give = {0, 1, 0};
  // The first of another type is there in both.
  raw(SYS_msgsnd, queue, &message, 8, IPC_NOWAIT);
  message.type = 2;
  std::thread sender;
  if (would)
    sender = std::thread([&] {
      ::usleep(a_while / 1000);
      auto mine = message;
      ::msgsnd(queue, &mine, 8, IPC_NOWAIT);
    });
  else
    raw(SYS_msgsnd, queue, &message, 8, 0);
  auto taken = message;
  raw(SYS_msgrcv, queue, &taken, 8, 2, 0);
  if (sender.joinable()) sender.join();
  raw(SYS_msgrcv, queue, &taken, 8, 0, 0);
  if (!would) {
    raw(SYS_semop, set, &give, 1);
    raw(SYS_semop, set, &take, 1);
    raw(SYS_semtimedop, set, &take, 1, &none);
  } else {
    raw(SYS_semtimedop, set, &take, 1, &moment);
  }
  ::msgctl(queue, IPC_RMID, nullptr);
  ::semctl(set, 0, IPC_RMID);
}

void take_locks(bool would) {
  const std::string path = folder + "/locked";
  const int mine = ::open(path.c_str(), O_RDWR | O_CREAT, 0600), others = ::open(path.c_str(), O_RDWR);
  std::thread holder;
  if (would) {
    ::flock(others, LOCK_EX);
    holder = std::thread([&] {
      ::usleep(a_while / 1000);
      ::flock(others, LOCK_UN);
    });
  }
  raw(SYS_flock, mine, LOCK_EX);
  if (holder.joinable()) holder.join();
  struct flock range = {};
  range.l_type = F_WRLCK;
  raw(SYS_fcntl, mine, F_OFD_SETLKW, &range);
  range.l_type = F_UNLCK;
  raw(SYS_fcntl, mine, F_OFD_SETLKW, &range);
  range.l_type = F_WRLCK;
  raw(SYS_fcntl, mine, F_SETLKW, &range);
  ::close(mine);
  ::close(others);
  ::unlink(path.c_str());
}

void pass_time(bool would) {
  raw(SYS_nanosleep, would ? &moment : &none, nullptr);
  timespec until = would ? soon(CLOCK_MONOTONIC) : timespec{1, 0};
  raw(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  std::uint64_t set = 1UL << (SIGUSR1 - 1);
  raw(SYS_rt_sigtimedwait, &set, nullptr, would ? &moment : &none, sizeof set);
}

// Of what cannot be read the kernel tells, and nothing else does.
bool tell_of_bad_pointers() {
  const long nowhere = 16;
  std::uint64_t set = 0;
  const long told[] = {
      raw(SYS_nanosleep, nowhere, nullptr),
      raw(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, nowhere, nullptr),
      raw(SYS_ppoll, nowhere, 1, nullptr, nullptr, 8),
      raw(SYS_ppoll, nullptr, 0, nowhere, nullptr, 8),
      raw(SYS_pselect6, 1, nowhere, nullptr, nullptr, nullptr, nullptr),
      raw(SYS_rt_sigtimedwait, nowhere, nullptr, nullptr, 8),
      raw(SYS_rt_sigprocmask, SIG_BLOCK, nowhere, nullptr, 8),
      raw(SYS_rt_sigprocmask, SIG_BLOCK, &set, nowhere, 8),
      raw(SYS_futex, nowhere, FUTEX_WAIT, 0, nullptr, nullptr, 0),
      raw(SYS_fcntl, pipe_ends[0], F_OFD_SETLKW, nowhere),
  };
  for (const long each : told)
    if (each != -EFAULT) return false;
  return raw(SYS_pselect6, -1, &set, nullptr, nullptr, nullptr, nullptr) == -EINVAL;
}

// The futex inside pthread_cond_signal, which waits for woken threads to have left.
void signal_threads() {
  std::mutex m;
  std::condition_variable c;
  bool over = false;
  std::thread waiters[6];
  for (std::thread& t : waiters)
    t = std::thread([&] {
      std::unique_lock lock(m);
      while (!over) c.wait(lock);
    });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
  while (std::chrono::steady_clock::now() < end) {
    ::pthread_cond_signal(c.native_handle());
    raw(SYS_sched_yield);
  }
  {
    const std::lock_guard lock(m);
    over = true;
  }
  c.notify_all();
  for (std::thread& t : waiters) t.join();
}

void call_all(bool would) {
  pass_time(would);
  look_at_descriptors(would);
  wait_on_futexes(would);
  wait_for_events(would);
  open_a_fifo(would);
  use_system_v(would);
  take_locks(would);
  wait_for_children(would);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc == 2 ? argv[1] : "";
  char made[] = "/tmp/coir-escapes-XXXXXX";
  if (::mkdtemp(made) == nullptr || ::pipe(pipe_ends) != 0) return 1;
  folder = made;
  int status = 0;
  auto other = coir::spawn([] { ::usleep(10'000); });
  coir::spawn(coir::attributes{.name = "culprit"}, [&] {
    if (name == "waits") {
      call_all(true);
    } else if (name == "passes") {
      call_all(false);
      signal_threads();
      if (!tell_of_bad_pointers()) status = 3;
    } else {
      status = 2;
    }
  }).join();
  other.join();
  ::rmdir(made);
  return status;
}

// usage: scenarios NAME
// What control_test.py and audit_test.py look at: each scenario prints what it saw.
#include <coir/coir.hpp>
#include <coir/patch.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../unit/support/sanitized.hpp"
#include "scenarios.hpp"

using namespace std::chrono_literals;

namespace {

void nap() {
  ::usleep(2000);
}

// A call of each category that has to wait for a moment.
void wait_for_io() {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  std::thread writer([&] {
    ::usleep(5000);
    if (::write(ends[1], "x", 1) != 1) std::abort();
  });
  char byte;
  if (::read(ends[0], &byte, 1) != 1) std::abort();
  writer.detach();
  ::close(ends[0]);
}
void wait_for_mutex() {
  static std::mutex m;  // the thread may still be about to leave it
  static std::atomic<bool> held;
  held = false;
  std::thread holder([] {
    const std::lock_guard guard(m);
    held = true;
    std::this_thread::sleep_for(10ms);
  });
  while (!held) std::atomic_thread_fence(std::memory_order_seq_cst);
  { const std::lock_guard guard(m); }
  holder.detach();  // a join would be a call of this category too
}
void wait_for_process() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(5000);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}
void wait_for_name() {
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &found) == 0) ::freeaddrinfo(found);
}
void wait_for_file() {
  char path[] = "/tmp/coir-control-XXXXXX";
  const int mine = ::mkstemp(path), others = ::open(path, O_RDWR | O_CLOEXEC);
  ::unlink(path);
  if (::flock(others, LOCK_EX) != 0) std::abort();
  std::thread holder([others] {
    ::usleep(5000);
    ::close(others);
  });
  if (::flock(mine, LOCK_EX) != 0) std::abort();
  holder.detach();
  ::close(mine);
}
void wait_for_line() {
  FILE* child = ::popen("sleep 0.01; echo line", "r");
  char line[16];
  if (std::fgets(line, sizeof line, child) == nullptr) std::abort();
  const coir::patch::scoped_off pclose_is_another_category;
  ::pclose(child);
}

int categories() {
  // On a busy machine what a call is to wait for may be there before it begins: then once more. A call that
  // is not patched lets others run in no attempt.
  const auto category = [](const char* name, const std::function<void()>& call) {
    bool ran = false;
    for (int attempt = 0; !ran && attempt < 4; ++attempt) ran = lets_others_run(call);
    say(name, ran);
  };
  category("time", nap);
  category("io", wait_for_io);
  category("threads", wait_for_mutex);
  category("processes", wait_for_process);
  category("names", wait_for_name);
  category("files", wait_for_file);
  category("stdio", wait_for_line);
  return 0;
}

int scoped() {
  say("before", lets_others_run(nap));
  say("inside", lets_others_run([] {
        const coir::patch::scoped_off off;
        nap();
      }));
  say("nested", lets_others_run([] {
        const coir::patch::scoped_off off;
        { const coir::patch::scoped_off again; }
        nap();
      }));
  say("after", lets_others_run(nap));
  // While the fiber with the scope waits for coir's own event, the others' calls are patched.
  coir::event go;
  auto holder = coir::spawn([&] {
    const coir::patch::scoped_off off;
    go.wait();
    say("inside, after a wait", lets_others_run(nap));
  });
  auto waker = coir::spawn([&] {
    say("beside", lets_others_run(nap));
    go.set();
  });
  holder.join();
  waker.join();
  // Left by an exception, and by the end of the fiber.
  coir::spawn([] {
    try {
      const coir::patch::scoped_off off;
      throw 1;
    } catch (int) {
    }
    say("after an exception", lets_others_run(nap));
  }).join();
  return 0;
}

// What a signal with a function (coir::on_signal) does to patched calls.
bool sleep_is_cut_short() {
  auto other = coir::spawn([] {
    ::usleep(5000);
    ::kill(::getpid(), SIGUSR1);
    ::usleep(5000);
  });
  const bool cut = ::usleep(50'000) == -1 && errno == EINTR;
  other.join();
  return cut;
}

int signals() {
  int called = 0;
  bool waited = true;
  {
    const auto handle = coir::on_signal(SIGUSR1, [&](int) {
      waited = waited && lets_others_run(nap);
      ++called;
    });
    say("a sleep is cut short", sleep_is_cut_short());
    struct sigaction mine = {};
    static std::atomic<int> handled{0};
    mine.sa_handler = [](int) { ++handled; };
    coir::signal_handle beside;
    ::sigaction(SIGUSR2, &mine, nullptr);
    beside = coir::on_signal(SIGUSR2, [&](int) { ++called; });
    auto other = coir::spawn([] {
      ::usleep(5000);
      ::kill(::getpid(), SIGUSR2);
      ::usleep(5000);
    });
    say("by a handler that was there", ::usleep(20'000'000) == -1 && errno == EINTR);
    other.join();
    say("which was called", handled == 1);
  }
  say("both were called", called == 2);
  say("and may wait", waited);
  int told = 0;
  const auto children = coir::on_signal(SIGCHLD, [&](int) { ++told; });
  auto other = coir::spawn([] { ::usleep(50'000); });
  const int status = std::system("exit 3");
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(4);
  int ended = 0;
  say("children are waited for",
      WEXITSTATUS(status) == 3 && ::waitpid(pid, &ended, 0) == pid && WEXITSTATUS(ended) == 4);
  other.join();
  say("and told of", told > 0);
  return 0;
}

// Only a patched read is ended by the close of another thread.
bool close_ends_read() {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  std::thread closer([&] {
    ::usleep(20'000);
    ::close(ends[0]);
    ::usleep(20'000);
    if (::write(ends[1], "x", 1) < 0) return;  // ends the other kind of read
  });
  ::signal(SIGPIPE, SIG_IGN);
  char byte;
  const ssize_t r = ::read(ends[0], &byte, 1);
  closer.join();
  ::close(ends[1]);
  return r == -1 && errno == EBADF;
}

int always() {
  bool in_thread = false;
  say("main", close_ends_read());
  std::thread([&] { in_thread = close_ends_read(); }).join();
  say("thread", in_thread);
  return 0;
}

using sleep_function = int (*)(useconds_t);
sleep_function unpatched_usleep() {
  void* libc = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  return reinterpret_cast<sleep_function>(::dlsym(libc, "usleep"));
}
[[gnu::noinline]] void sleep_in_libc() {
  unpatched_usleep()(100);
  __asm__ volatile("");  // no tail call: the frame is to be seen
}

int escapes() {
  auto other = coir::spawn([] { ::usleep(10'000); });
  coir::spawn(coir::attributes{.name = "culprit"}, [] {
    volatile int left = 3;  // one place, which no compiler makes several of
    while (left > 0) {
      left = left - 1;
      sleep_in_libc();
    }
  }).join();
  other.join();
  return 0;
}

int escapes_on_purpose() {
  auto other = coir::spawn([] { ::usleep(10'000); });
  coir::spawn([] {
    const coir::patch::scoped_off off;
    ::usleep(1000);
  }).join();
  other.join();
  return 0;
}

// Everything that the handler of the audit has to make by itself, or let be made.
int lives_on() {
  auto other = coir::spawn([] {
    for (int i = 0; i < 100; ++i) ::usleep(1000);
  });
  coir::spawn([] {
    std::thread([] { ::usleep(1000); }).join();
    if (std::system("true") != 0) std::abort();
    const pid_t forked = ::fork();
    if (forked == 0) ::_exit(7);
    int status = 0;
    ::waitpid(forked, &status, 0);
    std::printf("forked %d\n", WEXITSTATUS(status));
    struct sigaction a = {};
    static volatile sig_atomic_t handled = 0;
    a.sa_handler = [](int) { handled = handled + static_cast<int>(::write(-1, "", 0) == -1); };
    sigfillset(&a.sa_mask);
    ::sigaction(SIGUSR1, &a, nullptr);
    ::raise(SIGUSR1);
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    ::raise(SIGUSR1);
    ::usleep(1000);
    ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
    std::printf("handled %d\n", static_cast<int>(handled));
  }).join();
  other.join();
  return 0;
}

// By the program's own DT_RUNPATH, but under ASan, whose own dlopen is who calls libc's.
#ifdef __SANITIZE_ADDRESS__
constexpr const char* by_runpath = COIR_PLUGIN;
#else
constexpr const char* by_runpath = "libwaiting-plugin.so";
#endif

// Another fiber that opens a plugin whose constructor waits does not get it before that has ended.
int plugin() {
  const auto ready = [](const char* name) {
    void* object = ::dlopen(name, RTLD_NOW);
    if (object == nullptr) return false;
    const bool result = reinterpret_cast<int (*)()>(::dlsym(object, "plugin_is_ready"))() == 1;
    ::dlclose(object);
    return result;
  };
  const auto first = coir::spawn(ready, COIR_PLUGIN);
  bool others_ran = false;
  const auto other = coir::spawn([&] { others_ran = true; });
  const auto second = coir::spawn(ready, COIR_PLUGIN);
  const auto third = coir::spawn(ready, by_runpath);
  say("first", first.get());
  say("others ran meanwhile", others_ran);
  say("second", second.get());
  say("third", third.get());
  return 0;
}

// The same, opened by the program's own DT_RUNPATH at first.
int plugin_by_path() {
  const auto ready = [] {
    void* object = ::dlopen(by_runpath, RTLD_NOW);
    if (object == nullptr) return false;
    return reinterpret_cast<int (*)()>(::dlsym(object, "plugin_is_ready"))() == 1;
  };
  const auto first = coir::spawn(ready);
  const auto second = coir::spawn(ready);
  say("first", first.get());
  say("second", second.get());
  return 0;
}

// A message is read into a buffer larger than the fiber's stack.
[[gnu::noinline]] ssize_t read_message(int fd) {
  char buffer[300'000];
  return ::read(fd, buffer, sizeof buffer);
}

int large_frame() {
  int ends[2];
  if (::pipe(ends) != 0 || ::write(ends[1], "message", 7) != 7) return 1;
  const auto reader = coir::spawn(coir::attributes{.name = "reader"},
                                  [&] { std::printf("read %zd\n", read_message(ends[0])); });
  reader.join();
  return 0;
}

#ifndef UNIT_SANITIZED  // which know nothing of such stacks
// A coroutine of the program's own, on a stack that is none of coir's.
ucontext_t coroutine, of_fiber;

int foreign_stack() {
  coir::spawn([] {
    std::vector<char> stack(256 * 1024);
    ::getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack.data();
    coroutine.uc_stack.ss_size = stack.size();
    coroutine.uc_link = &of_fiber;
    ::makecontext(
        &coroutine,
        [] {
          say("others run", lets_others_run(nap));
          coir::this_fiber::sleep_for(1ms);
        },
        0);
    ::swapcontext(&of_fiber, &coroutine);
    say("goes on", true);
  }).join();
  return 0;
}
#else
int foreign_stack() {
  say("others run", true);
  say("goes on", true);
  return 0;
}
#endif

// --- what the process ends with ---

[[gnu::noinline]] char dig(int depth) {
  volatile char hole[1024];
  hole[0] = static_cast<char>(depth);
  return depth < 0 ? hole[0] : static_cast<char>(dig(depth + 1) + hole[0]);
}

// The program has a handler and an alternate stack of its own; the overflow is named first.
int overflows() {
  static char memory[32 * 1024];
  coir::spawn([] {}).join();
  stack_t mine = {};
  mine.ss_sp = memory;
  mine.ss_size = sizeof memory;
  struct sigaction a = {};
  a.sa_handler = [](int) { ::_exit(9); };
  a.sa_flags = SA_ONSTACK;
  if (::sigaltstack(&mine, nullptr) != 0 || ::sigaction(SIGSEGV, &a, nullptr) != 0) return 1;
  return coir::spawn({.name = "digger"}, dig, 0).get();
}

sigjmp_buf back;

void leave_after_a_moment() {
  ::signal(SIGALRM, [](int) { siglongjmp(back, 1); });
  const itimerval soon = {{}, {0, 20'000}};
  ::setitimer(ITIMER_REAL, &soon, nullptr);
}

// Jumps out of handlers that cannot be made.
int leaves_a_thread() {
  std::thread sleeps([] { ::usleep(500'000); });
  auto other = coir::spawn([] { ::usleep(500'000); });
  leave_after_a_moment();
  if (sigsetjmp(back, 1) == 0) sleeps.join();
  return 0;
}
int leaves_a_join() {
  auto other = coir::spawn([] { ::usleep(500'000); });
  leave_after_a_moment();
  if (sigsetjmp(back, 1) == 0) other.join();
  return 0;
}

// A handler that on_signal found there may be left by a jump, each time.
int chained_jumps() {
  int jumped = 0, told = 0;
  ::signal(SIGALRM, [](int) { siglongjmp(back, 1); });
  const auto handle = coir::on_signal(SIGALRM, [&](int) { ++told; });
  const auto asleep = [&] {
    const itimerval soon = {{}, {0, 10'000}};
    if (sigsetjmp(back, 1) != 0) return true;
    ::setitimer(ITIMER_REAL, &soon, nullptr);
    ::usleep(500'000);
    return false;
  };
  const auto at_work = [] {
    if (sigsetjmp(back, 1) != 0) return true;
    ::raise(SIGALRM);
    return false;
  };
  for (int i = 0; i < 3; ++i, ::usleep(1000)) jumped += asleep() ? 1 : 0;
  for (int i = 0; i < 2; ++i, ::usleep(1000)) jumped += at_work() ? 1 : 0;
  std::printf("jumped %d, told %d\n", jumped, told);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, int (*)()> all = {
      {"categories", categories},
      {"scoped", scoped},
      {"always", always},
      {"escapes", escapes},
      {"lives_on", lives_on},
      {"escapes_on_purpose", escapes_on_purpose},
      {"signals", signals},
      {"large_frame", large_frame},
      {"foreign_stack", foreign_stack},
      {"at_once", at_once},
      {"plugin", plugin},
      {"plugin_by_path", plugin_by_path},
      {"overflows", overflows},
      {"leaves_a_thread", leaves_a_thread},
      {"leaves_a_join", leaves_a_join},
      {"chained_jumps", chained_jumps},
  };
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const auto found = argc == 2 ? all.find(argv[1]) : all.end();
  return found != all.end() ? found->second() : 2;
}

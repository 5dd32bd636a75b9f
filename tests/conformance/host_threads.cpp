// Flows as plain threads: what the fibers are compared with.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

#include "host.hpp"

namespace conformance {
namespace {

std::mutex lock;
std::vector<pid_t> running;  // threads of flows that have not ended

// `in_the_kernel` if it does so uninterruptibly: that is a vfork, or passes soon, as when a ring is made.
bool sleeps(pid_t thread, bool& in_the_kernel) {
  char path[64], text[512];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return true;
  text[n] = '\0';
  const char* after_name = std::strrchr(text, ')');
  const char state = after_name != nullptr ? after_name[2] : 'R';
  in_the_kernel = in_the_kernel || state == 'D';
  return state == 'S' || state == 'D';
}

bool all_sleep(bool& in_the_kernel) {
  std::vector<pid_t> threads;
  {
    const std::lock_guard hold(lock);
    threads = running;
  }
  return std::all_of(threads.begin(), threads.end(),
                     [&](pid_t t) { return t == ::gettid() || sleeps(t, in_the_kernel); });
}

double run(const std::function<void()>& body, bool) {
  enter_thread();
  body();
  leave_thread();
  return 0;
}

void* start(std::function<void()> body) {
  std::atomic<bool> entered{false};
  auto* made = new std::thread([&entered, body = std::move(body)] {
    enter_thread();
    entered.store(true);
    body();
    leave_thread();
  });
  while (!entered.load()) std::this_thread::yield();
  return made;
}

void join(void* flow) {
  auto* thread = static_cast<std::thread*>(flow);
  thread->join();
  delete thread;
}

}  // namespace

void enter_thread() {
  const std::lock_guard hold(lock);
  running.push_back(::gettid());
}

void leave_thread() {
  const std::lock_guard hold(lock);
  std::erase(running, ::gettid());
}

// Several looks in a row: a thread that was woken may not have been seen running yet.
void settle_threads() {
  const stopwatch since;
  bool in_the_kernel = false;
  for (int calm = 0; calm < (in_the_kernel ? 30 : 3) && since.milliseconds() < 3000;) {
    std::this_thread::sleep_for(1ms);
    in_the_kernel = false;
    calm = all_sleep(in_the_kernel) ? calm + 1 : 0;
  }
}

const host threads_host = {"threads", false, run, start, join, settle_threads};

}  // namespace conformance

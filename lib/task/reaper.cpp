#include "task/reaper.hpp"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

#include <cstdint>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "base/raw.hpp"
#include "coir/detail/threads.hpp"
#include "task/child.hpp"
#include "wait/forget.hpp"

namespace coir::task {
namespace {

using base::raw;
using base::word;

struct orphan {
  pid_t pid;
  int pidfd;
};

// Guards all below, for some system calls that do not wait. A fork waits for it.
detail::spin_lock orphans_lock;
std::vector<orphan>* orphans = nullptr;  // null: none
int news = -1;                           // an eventfd of the thread's: there are more
bool running = false;                    // the thread; or it is about to

const bool orphans_told_at_fork = ::pthread_atfork([] { orphans_lock.lock(); }, [] { orphans_lock.unlock(); },
                                                   [] {
                                                     // They are the parent's children, as is the thread.
                                                     if (orphans != nullptr)
                                                       for (const orphan& o : *orphans)
                                                         raw(SYS_close, o.pidfd);
                                                     if (running) raw(SYS_close, news);
                                                     orphans = nullptr;
                                                     running = false;
                                                     orphans_lock.unlock();
                                                   }) == 0;

// Whether it is gone.
bool reap(const orphan& o) noexcept {
  siginfo_t info = {};
  const long r = look_at_end(o.pid, o.pidfd, info);
  if (r == 0 && info.si_pid == 0) return false;
  if (o.pidfd >= 0) wait::close(o.pidfd);
  return true;
}

// What to wait for; empty when the thread is to end.
std::vector<pollfd> reap_all() {
  const std::scoped_lock held(orphans_lock);
  std::vector<pollfd> rest = {{news, POLLIN, 0}};
  std::erase_if(*orphans, reap);
  for (const orphan& o : *orphans) rest.push_back({o.pidfd, POLLIN, 0});
  if (rest.size() > 1) return rest;
  delete std::exchange(orphans, nullptr);
  wait::close(news);
  running = false;
  return {};
}

void* run(void*) {
  for (;;) {
    timespec soon = {0, 50'000'000};
    std::vector<pollfd> next;
    try {
      next = reap_all();
    } catch (const std::bad_alloc&) {
      raw(SYS_ppoll, 0, 0, word(&soon), 0, 8);
      continue;
    }
    if (next.empty()) return nullptr;
    bool blind = false;
    for (const pollfd& p : next) blind = blind || p.fd < 0;  // also without an eventfd
    raw(SYS_ppoll, word(next.data()), static_cast<long>(next.size()), blind ? word(&soon) : 0, 0, 8);
    std::uint64_t count;
    raw(SYS_read, next.front().fd, word(&count), sizeof count);
  }
}

bool start_thread() noexcept {
  pthread_attr_t how;
  ::pthread_attr_init(&how);
  ::pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&how, 256 * 1024);
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t t;
  const int error = ::pthread_create(&t, &how, run, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&how);
  return error == 0;
}

}  // namespace

bool leave_to_reaper(pid_t pid, int pidfd) noexcept {
  bool first;
  try {
    const std::scoped_lock held(orphans_lock);
    if (orphans == nullptr) orphans = new std::vector<orphan>;
    orphans->push_back({pid, pidfd});
    first = !std::exchange(running, true);
    if (first) news = static_cast<int>(raw(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
    const std::uint64_t one = 1;
    raw(SYS_write, news, word(&one), sizeof one);
  } catch (const std::bad_alloc&) {
    return false;
  }
  // Not with the lock held: no second thread may appear inside a section that was entered without one.
  if (!first || start_thread()) return true;
  const std::scoped_lock held(orphans_lock);
  wait::close(news);
  running = false;  // whoever leaves a child next tries again
  return true;
}

}  // namespace coir::task

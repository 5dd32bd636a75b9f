#include "task/private_fds.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <new>
#include <vector>

#include "base/raw.hpp"
#include "coir/detail/threads.hpp"
#include "sys/own_fds.hpp"
#include "wait/forget.hpp"

namespace coir::task {
namespace {

detail::spin_lock lock;  // a fork waits for it
std::vector<int>* noted = nullptr;
thread_local int spared = -1;

const bool descriptors_told_at_fork = ::pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); },
                                                       [] {
                                                         if (noted != nullptr) {
                                                           for (const int fd : *noted)
                                                             if (fd != spared) base::raw(SYS_close, fd);
                                                           noted->clear();
                                                         }
                                                         lock.unlock();
                                                       }) == 0;

void make_room_locked(std::size_t more) {
  if (noted == nullptr) noted = new std::vector<int>;
  noted->reserve(noted->size() + more);
}

}  // namespace

int move_up(long made) noexcept {
  const int fd = sys::adopt_fd(made);
  if (fd < 0 || fd > 2) return fd;
  const long up = base::raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
  sys::close_own_fd(fd);
  return sys::adopt_fd(up);
}

int keep_private(int fd) {
  fd = move_up(fd);
  try {
    const std::scoped_lock held(lock);
    make_room_locked(1);
    noted->push_back(fd);
  } catch (const std::bad_alloc&) {
    sys::close_own_fd(fd);
    throw;
  }
  return wait::fresh(fd);
}

long private_pair(int type, int (&ends)[2]) {
  {
    const std::scoped_lock held(lock);
    make_room_locked(2);
    if (const long r = base::raw(SYS_socketpair, AF_UNIX, type | SOCK_CLOEXEC, 0, base::word(ends)); r < 0)
      return r;
    for (int& end : ends) end = move_up(end);
    for (int i = 0; i < 2; ++i) {
      if (ends[i] >= 0) continue;
      sys::close_own_fd(ends[1 - i]);
      return ends[i];
    }
    noted->insert(noted->end(), {ends[0], ends[1]});
  }
  for (const int end : ends) wait::fresh(end);
  return 0;
}

void close_private(int fd) noexcept {
  const std::scoped_lock held(lock);
  std::erase(*noted, fd);
  sys::disown_fd(fd);
  wait::close(fd);
}

pid_t fork_with(int fd) noexcept {
  spared = fd;
  const pid_t child = ::fork();
  spared = -1;
  return child;
}

}  // namespace coir::task

#include "task/private_fds.hpp"

#include <pthread.h>

#include <mutex>
#include <new>
#include <vector>

#include "base/raw.hpp"
#include "coir/detail/threads.hpp"
#include "wait/forget.hpp"

namespace coir::task {
namespace {

detail::spin_lock lock;  // a fork waits for it
std::vector<int>* noted = nullptr;

const bool told_at_fork = ::pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); },
                                           [] {
                                             if (noted != nullptr) {
                                               for (const int fd : *noted) base::raw(SYS_close, fd);
                                               noted->clear();
                                             }
                                             lock.unlock();
                                           }) == 0;

}  // namespace

int keep_private(int fd) {
  try {
    const std::scoped_lock held(lock);
    if (noted == nullptr) noted = new std::vector<int>;
    noted->push_back(fd);
  } catch (const std::bad_alloc&) {
    wait::close(fd);
    throw;
  }
  return wait::fresh(fd);
}

void close_private(int fd) noexcept {
  const std::scoped_lock held(lock);
  std::erase(*noted, fd);
  wait::close(fd);
}

}  // namespace coir::task

// Locks, names and commands on fibers, in a program linked in whatever way is under test. Prints "worked".
#include <netdb.h>
#include <unistd.h>

#include <coir/coir.hpp>
#include <coir/patch.hpp>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace {

bool resolves() {
  addrinfo hints = {}, *list = nullptr;
  hints.ai_flags = AI_NUMERICHOST;
  if (::getaddrinfo("127.0.0.1", nullptr, &hints, &list) != 0) return false;
  ::freeaddrinfo(list);
  return true;
}

}  // namespace

int main() {
  std::mutex mutex;
  mutex.lock();  // by libc's own code: there are no fibers yet
  mutex.unlock();
  bool resolved = false, held = false, free = true;
  int status = 0;
  auto holder = coir::spawn([&] {
    const std::scoped_lock lock(mutex);
    held = true;
    resolved = resolves();
    status = std::system("exit 3");
    held = false;
  });
  auto waiter = coir::spawn([&] {
    const std::scoped_lock lock(mutex);
    free = !held;
  });
  holder.join();
  waiter.join();
  for (const coir::patch::provider& p : coir::patch::report())
    if (!p.patched) {
      std::printf("not patched: %s\n", p.name.c_str());
      return 1;
    }
  if (!resolved || !free || WEXITSTATUS(status) != 3) return 2;
  std::puts("worked");
}

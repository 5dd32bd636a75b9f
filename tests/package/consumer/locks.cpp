// Locks, names, commands and FIFOs on fibers, in a program linked in whatever way is under test. Prints
// "worked".
#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <coir/coir.hpp>
#include <coir/patch.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>

namespace {

bool resolves() {
  addrinfo hints = {}, *list = nullptr;
  hints.ai_flags = AI_NUMERICHOST;
  if (::getaddrinfo("127.0.0.1", nullptr, &hints, &list) != 0) return false;
  ::freeaddrinfo(list);
  return true;
}

bool meet_at_fifo() {
  char directory[] = "/tmp/consumerXXXXXX";
  if (::mkdtemp(directory) == nullptr) return false;
  const std::string path = std::string(directory) + "/fifo";
  char word[8] = {};
  if (::mkfifo(path.c_str(), 0600) == 0) {
    auto reader = coir::spawn([&] {
      FILE* in = std::fopen("/dev/null", "r");
      if (in != nullptr) in = std::freopen(path.c_str(), "r", in);
      if (in == nullptr) return;
      if (::read(fileno(in), word, sizeof word - 1) < 0) *word = '\0';
      std::fclose(in);
    });
    auto writer = coir::spawn([&] { std::ofstream(path) << "word"; });
    reader.join();
    writer.join();
    ::unlink(path.c_str());
  }
  ::rmdir(directory);
  return std::strcmp(word, "word") == 0;
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
  if (!resolved || !free || WEXITSTATUS(status) != 3 || !meet_at_fifo()) return 2;
  std::puts("worked");
}

// What patched locks and a patched read that finds its byte cost, on a plain thread and on a fiber, against
// the same calls taken straight from libc; and how often a second a contended std::mutex changes hands among
// 10,000 fibers and among 100 threads.
//
// Prints ratios (mutex_plain_ratio, mutex_fiber_ratio), nanoseconds (read_socket_overhead,
// read_pipe_overhead) and thousands a second (handovers_fibers, handovers_threads).

#include <coir/coir.hpp>

#include <dlfcn.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "measure.h"

namespace {

using lock_function = int (*)(pthread_mutex_t*);
using read_function = ssize_t (*)(int, void*, size_t);

template <class F>
F in_libc(const char* name) {
  return reinterpret_cast<F>(dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), name));
}

// Through pointers the compiler knows nothing about, all alike.
struct locks {
  lock_function lock, unlock;
};
locks bare, patched;
locks* measured;
read_function bare_read, patched_read;
int ends[2];
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void lock_unlock(long n) {
  const locks l = *measured;
  for (long i = 0; i < n; ++i) {
    l.lock(&mutex);
    l.unlock(&mutex);
  }
}

double lock_ns(locks& which) {
  measured = &which;
  return measure(lock_unlock, 5'000'000);
}

// The byte is written by libc's own call, so that only the read differs. The two alternate in short blocks,
// so drift of the machine falls out.
double block_ns(read_function get) {
  static const auto put = in_libc<ssize_t (*)(int, const void*, size_t)>("write");
  constexpr int calls = 500;
  char byte = 0;
  const double start = wall_ns();
  for (int i = 0; i < calls; ++i)
    if (put(ends[1], "x", 1) != 1 || get(ends[0], &byte, 1) != 1) std::abort();
  return (wall_ns() - start) / calls;
}

double read_overhead() {
  constexpr int pairs = 401;
  std::vector<double> differences;
  for (int i = 0; i < pairs; ++i) {
    const bool patched_first = i % 2 == 0;
    const double first = block_ns(patched_first ? patched_read : bare_read);
    const double second = block_ns(patched_first ? bare_read : patched_read);
    differences.push_back(patched_first ? first - second : second - first);
  }
  close(ends[0]);
  close(ends[1]);
  return median_of(differences.data(), pairs);
}

// How often a lock that all want gets another owner.
constexpr double seconds = 0.5;

struct contest {
  std::mutex lock;
  std::atomic<bool> over{false};
  long rounds = 0, handovers = 0;
  int last = -1;
  double end = wall_ns() + seconds * 1e9;

  void take_part(int me) {
    while (!over) {
      const std::scoped_lock held(lock);
      if (last != me) ++handovers;
      last = me;
      if (++rounds % 256 == 0 && wall_ns() > end) over = true;
    }
  }
};

double handovers_of_fibers() {
  contest c;
  std::vector<coir::fiber<void>> all;
  {
    const std::scoped_lock held(c.lock);  // all of them wait first
    for (int i = 0; i < 10'000; ++i) all.push_back(coir::spawn([&c, i] { c.take_part(i); }));
    coir::this_fiber::yield();
    c.end = wall_ns() + seconds * 1e9;
  }
  for (auto& f : all) f.join();
  return static_cast<double>(c.handovers) / seconds / 1000;
}

double handovers_of_threads() {
  contest c;
  std::vector<std::thread> all;
  for (int i = 0; i < 100; ++i) all.emplace_back([&c, i] { c.take_part(i); });
  for (auto& t : all) t.join();
  return static_cast<double>(c.handovers) / seconds / 1000;
}

}  // namespace

int main() {
  bare = {in_libc<lock_function>("pthread_mutex_lock"), in_libc<lock_function>("pthread_mutex_unlock")};
  patched = {pthread_mutex_lock, pthread_mutex_unlock};
  bare_read = in_libc<read_function>("read");
  patched_read = ::read;

  emit_begin("coir_patch");
  const double libc_ns = lock_ns(bare);
  emit("mutex_libc", libc_ns);
  emit("mutex_plain_ratio", lock_ns(patched) / libc_ns);
  coir::spawn([libc_ns] {
    emit("mutex_fiber_ratio", lock_ns(patched) / libc_ns);
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
    emit("read_socket_overhead", read_overhead());
    if (::pipe(ends) != 0) std::abort();
    emit("read_pipe_overhead", read_overhead());
  }).join();
  emit("handovers_fibers", handovers_of_fibers());
  emit("handovers_threads", handovers_of_threads());
  return emit_end();
}

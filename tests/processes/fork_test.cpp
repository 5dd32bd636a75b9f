// Forks beside threads that make fibers. With libc's calls patched coir's own locks must not suspend anybody.
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "children.hpp"
#include "support/sanitized.hpp"

using namespace unit;

#ifndef UNIT_SANITIZED  // whose allocators and threads do not outlive such a fork

TEST_CASE("fork: the child has stacks, although other threads were making some") {
  with_children([] {
    std::atomic<bool> stop{false};
    joined_threads makers;
    for (int t = 0; t < 2; ++t)
      makers.start([&] {
        while (!stop)
          on_thread([] {
            std::vector<coir::fiber<void>> fibers;
            for (std::size_t i = 1; i < 40; ++i)
              fibers.push_back(
                  coir::spawn(coir::attributes{.stack_size = i * 65536}, [] { coir::this_fiber::yield(); }));
            coir::wait_all(fibers);
          });
      });
    for (int i = 0; i < 100; ++i) {
      auto forks = coir::spawn([] {
        const pid_t child = ::fork();
        if (child == 0) {
          ::alarm(20);
          for (std::size_t size = 1; size < 40; ++size)
            coir::spawn(coir::attributes{.stack_size = size * 65536}, [] {
              coir::this_fiber::yield();
            }).join();
          ::_exit(0);
        }
        int status = -1;
        CHECK(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
      });
      auto beside = coir::spawn([] {
        for (int round = 0; round < 20; ++round) {
          coir::spawn(coir::attributes{.stack_size = 2 * 65536}, [] {}).join();
          coir::this_fiber::yield();
        }
      });
      forks.join();
      beside.join();
    }
    stop = true;
  });
}

namespace {

// Descriptors that a reactor waits with, whose copies keep open what it waits for.
int reactors_of_process() {
  int found = 0;
  DIR* all = ::opendir("/proc/self/fd");
  while (const dirent* one = ::readdir(all)) {
    char target[64] = {};
    if (::readlinkat(::dirfd(all), one->d_name, target, sizeof target - 1) < 0) continue;
    const std::string kind = target;
    found += kind == "anon_inode:[io_uring]" || kind == "anon_inode:[eventpoll]";
  }
  ::closedir(all);
  return found;
}

}  // namespace

TEST_CASE("fork: the child keeps no reactor of a thread that it does not have") {
  std::atomic<bool> opened{false};
  coir::event forked;
  joined_threads others;
  others.start([&] {
    open_reactor();
    opened = true;
    opened.notify_one();
    forked.wait();
  });
  opened.wait(false);
  CHECK(reactors_of_process() == 1);
  // By a thread without a scheduler, and by one that has its own.
  for (const bool uses_coir : {false, true})
    on_thread([&] {
      if (uses_coir) open_reactor();
      const pid_t child = ::fork();
      if (child == 0) ::_exit(reactors_of_process());
      int status = -1;
      CHECK(::waitpid(child, &status, 0) == child);
      CHECK(status == 0);
    });
  forked.set();
  others.join();
}

#endif

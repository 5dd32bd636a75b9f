// A close reaches every thread that knows the number, however many there are.
#include <sys/syscall.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <thread>
#include <vector>

#include "close.hpp"

using namespace conformance;

COIR_ROW_WITH(fibers_only | own_process | no_ticker, "close: reaches each of seventy threads") {
  constexpr int count = 70;
  for (const bool by_number : {false, true}) {
    both_ends e = make(kind::unix_stream);
    const descriptor twin(COIR_MUST(dup(e.a)));  // the end of the file is no news
    const int fd = e.a.release();
    std::atomic<int> begun{0}, refused{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
      threads.emplace_back([&] {
        coir::spawn([&] {
          char data[8];
          ++begun;
          if (read(fd, data, sizeof data) == -1 && errno == EBADF) ++refused;
        }).join();
      });
    while (begun < count) nap(1);
    nap(100);
    by_number ? static_cast<void>(syscall(SYS_close, fd)) : static_cast<void>(close(fd));
    for (int i = 0; i < 500 && refused < count; ++i) nap(1);
    o.check(refused == count, "all are told");
    o.say("%d told", refused.load());
    e.b.close();  // the others see the end
    for (std::thread& t : threads) t.join();
  }
}

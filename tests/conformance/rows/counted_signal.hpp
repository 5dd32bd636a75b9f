// How often a signal has come to the thread that waits for it.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <atomic>

namespace conformance {

inline std::atomic<int> signals_here;
inline pthread_t of_flow;

struct counted_signal {
  int signal;
  struct sigaction before;
  explicit counted_signal(int s) : signal(s) {
    struct sigaction now = {};
    now.sa_handler = [](int) {
      if (pthread_equal(pthread_self(), of_flow) != 0) ++signals_here;
    };
    sigaction(signal, &now, &before);
    signals_here = 0;
    of_flow = pthread_self();
  }
  ~counted_signal() { sigaction(signal, &before, nullptr); }
};

}  // namespace conformance

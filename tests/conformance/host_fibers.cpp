// The program with coir and coir-patch. It can run the flows as fibers, as one fiber per thread, and as
// threads that merely have the patch in front of libc.
#include <signal.h>
#include <coir/coir.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "host.hpp"

namespace conformance {
namespace {

double milliseconds_of(clockid_t clock) {
  timespec t;
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

// How long this thread was ready and got no processor, which is not its own fault.
class queueing_time {
 public:
  queueing_time() noexcept : fd_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}
  ~queueing_time() { ::close(fd_); }
  queueing_time(const queueing_time&) = delete;
  queueing_time& operator=(const queueing_time&) = delete;

  double milliseconds() const {
    char text[128] = {};
    unsigned long long delay = 0;
    if (::pread(fd_, text, sizeof text - 1, 0) > 0) std::sscanf(text, "%*u %llu", &delay);
    return static_cast<double>(delay) / 1e6;
  }

 private:
  int fd_;
};

// Wakes every few milliseconds and finds out whether the thread slept through: then something blocked it.
class ticker {
 public:
  explicit ticker(bool wanted) {
    if (wanted) fiber_ = coir::spawn([this] { tick(); });
  }
  double end() {
    stop_ = true;
    if (fiber_.valid()) fiber_.join();
    return worst_;
  }

 private:
  static constexpr auto period = 4ms;

  void tick() {
    const queueing_time queueing;
    while (!stop_) {
      const double before = milliseconds_of(CLOCK_MONOTONIC) - milliseconds_of(CLOCK_THREAD_CPUTIME_ID) -
                            queueing.milliseconds();
      coir::this_fiber::sleep_for(period);
      const double after = milliseconds_of(CLOCK_MONOTONIC) - milliseconds_of(CLOCK_THREAD_CPUTIME_ID) -
                           queueing.milliseconds();
      worst_ = std::max(worst_, after - before - 4);
    }
  }

  coir::fiber<void> fiber_;
  double worst_ = 0;
  bool stop_ = false;
};

// Rows about signals are alone on the thread: the main fiber, which only waits for them, takes none.
double run_on_fiber(const std::function<void()>& body, bool with_ticker) {
  ticker t(with_ticker);
  coir::fiber<void> row = coir::spawn(body);
  sigset_t all, before;
  sigfillset(&all);
  if (!with_ticker) pthread_sigmask(SIG_SETMASK, &all, &before);
  row.get();
  if (!with_ticker) pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return t.end();
}

// --- fibers of one thread ---

void* start_fiber(std::function<void()> body) {
  return new coir::fiber<void>(coir::spawn(std::move(body)));
}

void join_fiber(void* flow) {
  auto* fiber = static_cast<coir::fiber<void>*>(flow);
  fiber->join();
  delete fiber;
}

// Twice: what the first round wakes may wake others.
void settle_fibers() {
  for (int round = 0; round < 2; ++round) coir::this_fiber::sleep_for(4ms);
}

// --- one fiber per thread ---

std::atomic<double> worst_elsewhere{0};
bool tickers_elsewhere = false;

double run_spread(const std::function<void()>& body, bool with_ticker) {
  worst_elsewhere = 0;
  tickers_elsewhere = with_ticker;
  return std::max(run_on_fiber(body, with_ticker), worst_elsewhere.load());
}

struct spread_flow {
  std::atomic<bool> entered{false}, ended{false};
  std::thread thread;
};

void* start_spread(std::function<void()> body) {
  auto* made = new spread_flow;
  made->thread = std::thread([made, body = std::move(body)] {
    enter_thread();
    made->entered = true;
    const double blocked = run_on_fiber(body, tickers_elsewhere);
    double worst = worst_elsewhere.load();
    while (blocked > worst && !worst_elsewhere.compare_exchange_weak(worst, blocked)) {
    }
    leave_thread();
    made->ended = true;
  });
  while (!made->entered) coir::this_fiber::sleep_for(100us);
  return made;
}

// A thread's join blocks all fibers of the caller's; that is not what the rows are about.
void join_spread(void* flow) {
  auto* f = static_cast<spread_flow*>(flow);
  while (!f->ended) coir::this_fiber::sleep_for(1ms);
  f->thread.join();
  delete f;
}

}  // namespace

std::span<const host> hosts() {
  static const host all[] = {
      {"fibers", true, run_on_fiber, start_fiber, join_fiber, settle_fibers},
      {"spread", true, run_spread, start_spread, join_spread, settle_threads},
      threads_host,
  };
  return all;
}

}  // namespace conformance

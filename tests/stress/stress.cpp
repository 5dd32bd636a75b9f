// Threads and fibers hammer the same primitives, cancel each other and run into timeouts at random moments;
// then every item, permit and lock must be accounted for.
//
//   stress [SECONDS [SEED]]      5 s by default, or STRESS_SECONDS (at most 60); prints the seed of a
//   failed round
//
// The seed fixes what each fiber tries in which order; what happens between threads the machine decides.
#include <signal.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "reactor/reactor.hpp"
#include "sched/scheduler.hpp"
#include "worker.hpp"

namespace {

using stress::poke;
using stress::worker;
using stress::world;
using steady = std::chrono::steady_clock;

constexpr auto round_time = std::chrono::milliseconds(250);
constexpr unsigned stuck_after = 60;  // seconds until a round counts as hung

// Handles of the living fibers of all threads, for those who cancel from afar.
class register_of_fibers {
 public:
  void set(std::size_t slot, coir::fiber<void> f) {
    const std::lock_guard guard(mutex_);
    if (slot >= fibers_.size()) fibers_.resize(slot + 1);
    std::swap(fibers_[slot], f);
  }
  coir::fiber<void> pick(std::uint64_t random) {
    const std::lock_guard guard(mutex_);
    return fibers_.empty() ? coir::fiber<void>() : fibers_[random % fibers_.size()];
  }

 private:
  std::mutex mutex_;
  std::vector<coir::fiber<void>> fibers_;
};

void interrupt(const coir::fiber<void>& f, std::uint64_t random) {
  if (!f.valid()) return;
  if (random % 3 == 0)
    f.cancel();
  else
    f.raise(poke());
}

coir::fiber<void> spawn_worker(world& w, std::uint64_t seed) {
  return coir::spawn([&w, seed] {
    try {
      worker(w, seed, true).run();
    } catch (const coir::cancelled&) {
      ++w.cancelled;
      throw;
    } catch (const poke&) {  // between two steps
      ++w.raised;
    }
  });
}

// One thread: keeps `count` workers alive, and interrupts some, until the round ends.
void thread_of_fibers(world& w, register_of_fibers& all, std::size_t first_slot, std::size_t count,
                      std::uint64_t seed) {
  std::mt19937_64 random(seed);
  if (random() % 2 == 0) coir::sched::scheduler::ensure().io();
  std::vector<coir::fiber<void>> mine(count);
  while (!w.stop) {
    for (std::size_t i = 0; i < count; ++i) {
      if (mine[i].valid() && !mine[i].ready()) continue;
      mine[i] = spawn_worker(w, random());
      all.set(first_slot + i, mine[i]);
    }
    interrupt(mine[random() % count], random());
    coir::this_fiber::sleep_for(std::chrono::microseconds(random() % 500));
  }
  for (std::size_t i = 0; i < count; ++i) {
    mine[i].cancel();
    all.set(first_slot + i, {});
  }
  coir::wait_all(mine);
  if (coir::inspect::fiber_count() != 0) w.fail("fibers left on a thread");
}

// False, and a message, if anything was lost.
bool round(std::uint64_t seed, std::uint64_t& operations) {
  std::mt19937_64 random(seed);
  world w(1 + random() % 5, static_cast<std::ptrdiff_t>(1 + random() % 4));
  register_of_fibers all;
  const std::size_t threads = 1 + random() % 4, fibers = 1 + random() % 20, plain = random() % 3;
  ::alarm(stuck_after);
  std::vector<std::thread> running;
  for (std::size_t t = 0; t < threads; ++t)
    running.emplace_back([&, t, s = random()] { thread_of_fibers(w, all, t * fibers, fibers, s); });
  for (std::size_t t = 0; t < plain; ++t)
    running.emplace_back([&, s = random()] { worker(w, s, false).run(); });
  const bool closes = random() % 3 == 0;
  const auto end = steady::now() + round_time;
  while (steady::now() < end && w.errors == 0) {
    interrupt(all.pick(random()), random());
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    if (closes && steady::now() > end - round_time / 3) {
      w.channel.close();
      w.bounded.close();
    }
  }
  w.stop = true;
  for (std::thread& t : running) t.join();
  ::alarm(0);
  w.check();
  operations += w.operations;
  if (w.errors == 0) return true;
  std::fprintf(
      stderr,
      "stress: failed with seed %llu: %zu threads of %zu fibers, %zu plain, %llu operations, %llu cancelled, "
      "%llu raised, %llu timed out\n",
      static_cast<unsigned long long>(seed), threads, fibers, plain,
      static_cast<unsigned long long>(w.operations), static_cast<unsigned long long>(w.cancelled),
      static_cast<unsigned long long>(w.raised), static_cast<unsigned long long>(w.timed_out));
  return false;
}

std::uint64_t current_seed = 0;

void on_alarm(int) {
  char text[80];
  const int n = std::snprintf(text, sizeof text, "stress: hung, seed %llu\n",
                              static_cast<unsigned long long>(current_seed));
  if (::write(2, text, static_cast<std::size_t>(n)) < 0) ::_exit(3);
  std::abort();
}

double seconds_wanted(int argc, char** argv) {
  const char* text = argc > 1 ? argv[1] : std::getenv("STRESS_SECONDS");
  const double seconds = text != nullptr ? std::atof(text) : 5;
  return std::clamp(seconds, 0.1, 60.0);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = seconds_wanted(argc, argv);
  const char* wanted = std::getenv("COIR_REACTOR");
  coir::reactor::fd_table table(0);
  if (wanted != nullptr && std::strcmp(wanted, "uring") == 0 && coir::reactor::make_uring(table) == nullptr) {
    std::puts("skipped: io_uring is missing or forbidden here");
    return 77;
  }
  ::signal(SIGALRM, on_alarm);
  current_seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const auto end = steady::now() + std::chrono::duration<double>(seconds);
  std::uint64_t operations = 0;
  int rounds = 0;
  for (; rounds == 0 || steady::now() < end; ++rounds, ++current_seed)
    if (!round(current_seed, operations)) return 1;
  std::printf("%d rounds, %llu operations, nothing lost\n", rounds,
              static_cast<unsigned long long>(operations));
  return 0;
}

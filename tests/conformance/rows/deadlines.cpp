// Points of time that are long past or none at all, and what each call makes of them.
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <limits>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// A mutex and a lock that a flow holds until told.
struct held_locks {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  std::atomic<bool> over{false};
  flow holder{"holder", [this](log&) {
                pthread_mutex_lock(&mutex);
                pthread_rwlock_wrlock(&lock);
                while (!over) usleep(1000);
                pthread_rwlock_unlock(&lock);
                pthread_mutex_unlock(&mutex);
              }};

  held_locks() { settle(); }
  void give_up() {
    over = true;
    holder.join();
  }
};

}  // namespace

COIR_ROW("timed locks: a point of time long past is over, however long") {
  held_locks held;
  pthread_cond_t c = PTHREAD_COND_INITIALIZER;
  sem_t s;
  COIR_MUST(sem_init(&s, 0, 0));
  pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&own);
  for (const long seconds :
       {-1L, -4'611'686'019L, -9'223'372'036L, -9'223'372'037L, std::numeric_limits<long>::min()}) {
    const timespec past = {seconds, 5};
    const stopwatch since;
    o.say("mutex %s", name_of_error(pthread_mutex_timedlock(&held.mutex, &past)));
    o.say("mutex by clock %s", name_of_error(pthread_mutex_clocklock(&held.mutex, CLOCK_MONOTONIC, &past)));
    o.say("to read %s", name_of_error(pthread_rwlock_timedrdlock(&held.lock, &past)));
    o.say("to write %s", name_of_error(pthread_rwlock_clockwrlock(&held.lock, CLOCK_MONOTONIC, &past)));
    o.say("condition %s", name_of_error(pthread_cond_timedwait(&c, &own, &past)));
    COIR_OBSERVE(o, sem_timedwait(&s, &past));
    o.took_no_time(since);
  }
  pthread_mutex_unlock(&own);
  held.give_up();
  sem_destroy(&s);
}

COIR_ROW("timed locks: of times that are none, each lock is libc's kind of judge") {
  held_locks held;
  pthread_mutex_t own = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP, unlocked = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t free = PTHREAD_RWLOCK_INITIALIZER;
  pthread_cond_t c = PTHREAD_COND_INITIALIZER;
  sem_t none, some;
  COIR_MUST(sem_init(&none, 0, 0));
  COIR_MUST(sem_init(&some, 0, 1));
  pthread_mutex_lock(&own);
  constexpr long most = std::numeric_limits<long>::max(), least = std::numeric_limits<long>::min();
  for (const timespec t :
       {timespec{0, -1}, {0, 1'000'000'000}, {5, most}, {-5, -5}, {least, -1}, {most, 1'000'000'000}}) {
    const stopwatch since;
    o.say("%ld s, %ld ns", t.tv_sec, t.tv_nsec);
    o.say("mutex held %s", name_of_error(pthread_mutex_timedlock(&held.mutex, &t)));
    o.say("by clock %s", name_of_error(pthread_mutex_clocklock(&held.mutex, CLOCK_MONOTONIC, &t)));
    o.say("mutex of its own %s", name_of_error(pthread_mutex_timedlock(&own, &t)));
    o.say("mutex %s", name_of_error(pthread_mutex_timedlock(&unlocked, &t)));
    pthread_mutex_unlock(&unlocked);
    o.say("to read %s", name_of_error(pthread_rwlock_timedrdlock(&held.lock, &t)));
    o.say("to read, free %s", name_of_error(pthread_rwlock_clockrdlock(&free, CLOCK_MONOTONIC, &t)));
    o.say("to write, free %s", name_of_error(pthread_rwlock_timedwrlock(&free, &t)));
    o.say("condition %s", name_of_error(pthread_cond_timedwait(&c, &own, &t)));
    COIR_OBSERVE(o, sem_timedwait(&none, &t));
    COIR_OBSERVE(o, sem_timedwait(&some, &t));
    COIR_OBSERVE(o, sem_clockwait(&some, CLOCK_MONOTONIC, &t));
    o.took_no_time(since);
  }
  held.give_up();
  COIR_OBSERVE(o, sem_trywait(&some));
  o.say("to write %s", name_of_error(pthread_rwlock_trywrlock(&free)));
  pthread_mutex_unlock(&own);
}

COIR_ROW("select: of the microseconds libc looks at 32 bits") {
  for (const long us :
       {1L << 31, -1L, 1L << 32, std::numeric_limits<long>::max(), std::numeric_limits<long>::min()}) {
    timeval t = {0, us};
    const stopwatch since;
    COIR_OBSERVE(o, select(0, nullptr, nullptr, nullptr, &t));
    o.took_no_time(since);
  }
}

COIR_ROW("futex: a set of no bits is refused") {
  std::uint32_t word = 0;
  const timespec t = {0, 0};
  COIR_OBSERVE(o, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, nullptr, 0));
  COIR_OBSERVE(o, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, nullptr, nullptr, 0));
  COIR_OBSERVE(o, syscall(SYS_futex, &word, FUTEX_WAKE_BITSET_PRIVATE, 1, nullptr, nullptr, 0));
}

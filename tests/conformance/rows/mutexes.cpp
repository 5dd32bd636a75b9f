// pthread_mutex_t and mtx_t: who waits, who owns, what is refused.
#include <pthread.h>
#include <string.h>
#include <threads.h>

#include <mutex>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

struct mutex {
  explicit mutex(int type) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, type);
    pthread_mutex_init(&m, &a);
    pthread_mutexattr_destroy(&a);
  }
  explicit mutex(const pthread_mutexattr_t& a) { pthread_mutex_init(&m, &a); }
  ~mutex() { pthread_mutex_destroy(&m); }
  pthread_mutex_t* operator&() { return &m; }
  pthread_mutex_t m;
};

struct type {
  const char* name;
  int value;
};
constexpr type types[] = {{"normal", PTHREAD_MUTEX_NORMAL},
                          {"recursive", PTHREAD_MUTEX_RECURSIVE},
                          {"errorcheck", PTHREAD_MUTEX_ERRORCHECK},
                          {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP}};

}  // namespace

COIR_ROW("mutex: held across a wait, the others wait too") {
  for (const type& t : types) {
    mutex m(t.value);
    o.say("%s: %s", t.name, name_of_error(pthread_mutex_lock(&m)));
    flow other(t.name, [&](log& w) {
      w.say("try: %s", name_of_error(pthread_mutex_trylock(&m)));
      w.say("lock: %s", name_of_error(pthread_mutex_lock(&m)));
      w.say("unlock: %s", name_of_error(pthread_mutex_unlock(&m)));
    });
    settle();
    o.say("%s: the other %s", t.name, other.state());
    o.say("unlock: %s", name_of_error(pthread_mutex_unlock(&m)));
    other.join();
    o.say("destroy: %s", name_of_error(pthread_mutex_destroy(&m)));
  }
}

COIR_ROW("mutex: the owner is one flow, not its neighbours") {
  for (const type& t : types) {
    mutex m(t.value);
    if (t.value == PTHREAD_MUTEX_NORMAL || t.value == PTHREAD_MUTEX_ADAPTIVE_NP) continue;
    pthread_mutex_lock(&m);
    o.say("%s: again: %s", t.name, name_of_error(pthread_mutex_lock(&m)));
    o.say("%s: try again: %s", t.name, name_of_error(pthread_mutex_trylock(&m)));
    flow other(t.name, [&](log& w) {
      w.say("unlock: %s", name_of_error(pthread_mutex_unlock(&m)));
      w.say("try: %s", name_of_error(pthread_mutex_trylock(&m)));
    });
    other.join();
    for (int i = 0; i < 4; ++i) o.say("%s: unlock: %s", t.name, name_of_error(pthread_mutex_unlock(&m)));
  }
}

COIR_ROW("mutex: timed locks wait no less than asked, and refuse nonsense only when they would wait") {
  mutex m(PTHREAD_MUTEX_NORMAL);
  timespec bad = {0, 1'000'000'000}, past = {1, 0};
  o.say("free, nonsense: %s", name_of_error(pthread_mutex_timedlock(&m, &bad)));
  flow other("other", [&](log& w) {
    w.say("nonsense: %s", name_of_error(pthread_mutex_timedlock(&m, &bad)));
    w.say("past: %s", name_of_error(pthread_mutex_timedlock(&m, &past)));
    stopwatch watch;
    timespec t = after(CLOCK_REALTIME, 60);
    w.say("timed: %s", name_of_error(pthread_mutex_timedlock(&m, &t)));
    w.took(watch, 60);
    watch.restart();
    t = after(CLOCK_MONOTONIC, 60);
    w.say("clock: %s", name_of_error(pthread_mutex_clocklock(&m, CLOCK_MONOTONIC, &t)));
    w.took(watch, 60);
    w.say("other clock: %s", name_of_error(pthread_mutex_clocklock(&m, CLOCK_PROCESS_CPUTIME_ID, &t)));
    t = after(CLOCK_REALTIME, 2000);
    w.say("in time: %s", name_of_error(pthread_mutex_timedlock(&m, &t)));
    pthread_mutex_unlock(&m);
  });
  while (other.state()[0] == 'w' && !other.done()) {
    timespec nap = {0, 200'000'000};
    nanosleep(&nap, nullptr);
    pthread_mutex_unlock(&m);
    break;
  }
  other.join();
  o.say("done");
}

COIR_ROW("mutex: many take turns, and each sees what the last one wrote") {
  mutex m(PTHREAD_MUTEX_NORMAL);
  int counter = 0;
  {
    std::vector<std::unique_ptr<flow>> all;
    for (int i = 0; i < 8; ++i)
      all.push_back(std::make_unique<flow>("turns", [&](log&) {
        for (int k = 0; k < 50; ++k) {
          pthread_mutex_lock(&m);
          const int seen = counter;
          if (k % 10 == 0) {
            timespec nap = {0, 100'000};
            nanosleep(&nap, nullptr);
          }
          counter = seen + 1;
          pthread_mutex_unlock(&m);
        }
      }));
  }
  o.say("%d", counter);
}

COIR_ROW("mutex: robust and priority-inheriting ones exclude too") {
  for (const bool robust : {true, false}) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    if (robust)
      pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    else
      pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
    mutex m(a);
    pthread_mutexattr_destroy(&a);
    o.say("lock: %s", name_of_error(pthread_mutex_lock(&m)));
    flow other(robust ? "robust" : "inherits", [&](log& w) {
      w.say("lock: %s", name_of_error(pthread_mutex_lock(&m)));
      w.say("unlock: %s", name_of_error(pthread_mutex_unlock(&m)));
    });
    settle();
    o.say("%s", other.state());
    o.say("unlock: %s", name_of_error(pthread_mutex_unlock(&m)));
  }
}

COIR_ROW("mutex: a process-shared one is seen to be unlocked") {
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  mutex m(a);
  pthread_mutexattr_destroy(&a);
  pthread_mutex_lock(&m);
  flow other("other", [&](log& w) {
    w.say("lock: %s", name_of_error(pthread_mutex_lock(&m)));
    pthread_mutex_unlock(&m);
  });
  settle();
  o.say("%s", other.state());
  pthread_mutex_unlock(&m);
}

COIR_ROW("mutex: C11's and C++'s") {
  mtx_t m;
  o.say("init: %d", mtx_init(&m, mtx_timed | mtx_recursive) == thrd_success);
  std::timed_mutex cpp;
  o.say("lock: %d again: %d", mtx_lock(&m) == thrd_success, mtx_lock(&m) == thrd_success);
  cpp.lock();
  flow other("other", [&](log& w) {
    w.say("try: %d", mtx_trylock(&m) == thrd_busy);
    stopwatch watch;
    const timespec t = after(CLOCK_REALTIME, 50);
    w.say("timed: %d", mtx_timedlock(&m, &t) == thrd_timedout);
    w.took(watch, 50);
    watch.restart();
    w.say("cpp: %d", cpp.try_lock_for(50ms));
    w.took(watch, 50);
    w.say("lock: %d", mtx_lock(&m) == thrd_success);
    mtx_unlock(&m);
    cpp.lock();
    cpp.unlock();
  });
  timespec nap = {0, 150'000'000};
  nanosleep(&nap, nullptr);
  o.say("unlock: %d", mtx_unlock(&m) == thrd_success);
  settle();
  o.say("%s", other.state());
  mtx_unlock(&m);
  cpp.unlock();
  other.join();
  mtx_destroy(&m);
}

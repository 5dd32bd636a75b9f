// Condition variables: pthread's, C11's and C++'s.
#include <pthread.h>
#include <threads.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("condition: signal wakes one, broadcast all, and the mutex is held again") {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t c = PTHREAD_COND_INITIALIZER;
  int tickets = 0, inside = 0;
  const auto wait = [&](log& w) {
    pthread_mutex_lock(&m);
    while (tickets == 0) pthread_cond_wait(&c, &m);
    --tickets;
    ++inside;
    w.check(inside == 1, "alone with the mutex");
    --inside;
    pthread_mutex_unlock(&m);
  };
  flow a("waiter", wait), b("waiter", wait), d("waiter", wait);
  const auto done = [&] {
    return static_cast<int>(a.done()) + static_cast<int>(b.done()) + static_cast<int>(d.done());
  };
  settle();
  o.say("%d done", done());
  pthread_mutex_lock(&m);
  tickets = 1;
  pthread_cond_signal(&c);
  pthread_mutex_unlock(&m);
  settle();
  o.say("%d done", done());
  pthread_mutex_lock(&m);
  tickets = 2;
  pthread_mutex_unlock(&m);
  pthread_cond_broadcast(&c);
  a.join();
  b.join();
  d.join();
  o.say("%d tickets; destroy: %s", tickets, name_of_error(pthread_cond_destroy(&c)));
}

COIR_ROW("condition: timed waits take their time, on either clock") {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  pthread_condattr_t a;
  pthread_condattr_init(&a);
  pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
  pthread_cond_t mono, real;
  pthread_cond_init(&mono, &a);
  pthread_cond_init(&real, nullptr);
  pthread_condattr_destroy(&a);
  pthread_mutex_lock(&m);
  stopwatch watch;
  timespec t = after(CLOCK_MONOTONIC, 60);
  o.say("monotonic: %s", name_of_error(pthread_cond_timedwait(&mono, &m, &t)));
  o.took(watch, 60);
  watch.restart();
  t = after(CLOCK_REALTIME, 60);
  o.say("real: %s", name_of_error(pthread_cond_timedwait(&real, &m, &t)));
  o.took(watch, 60);
  watch.restart();
  t = after(CLOCK_MONOTONIC, 60);
  o.say("clockwait: %s", name_of_error(pthread_cond_clockwait(&real, &m, CLOCK_MONOTONIC, &t)));
  o.took(watch, 60);
  t = {1, 0};
  o.say("past: %s", name_of_error(pthread_cond_timedwait(&real, &m, &t)));
  t = {0, -1};
  o.say("nonsense: %s", name_of_error(pthread_cond_timedwait(&real, &m, &t)));
  o.say("unlock: %s", name_of_error(pthread_mutex_unlock(&m)));
}

COIR_ROW("condition: between flows and a thread that is none") {
  std::mutex m;
  std::condition_variable c;
  int turn = 0;
  std::thread plain([&] {
    std::unique_lock lock(m);
    for (int i = 0; i < 50; ++i) {
      c.wait(lock, [&] { return turn % 2 == 1; });
      ++turn;
      c.notify_all();
    }
  });
  flow mine("flow", [&](log& w) {
    std::unique_lock lock(m);
    for (int i = 0; i < 50; ++i) {
      c.wait(lock, [&] { return turn % 2 == 0; });
      ++turn;
      c.notify_all();
    }
    w.say("%s", turn >= 99 ? "all turns" : "turns missing");
  });
  mine.join();
  plain.join();
  o.say("%d", turn);
}

COIR_ROW("C11: conditions and once") {
  mtx_t m;
  cnd_t c;
  mtx_init(&m, mtx_plain);
  cnd_init(&c);
  int ready = 0;
  flow waiter("waiter", [&](log& w) {
    mtx_lock(&m);
    while (ready == 0) cnd_wait(&c, &m);
    const timespec t = after(CLOCK_REALTIME, 40);
    w.say("timed: %d", cnd_timedwait(&c, &m, &t) == thrd_timedout);
    mtx_unlock(&m);
  });
  settle();
  mtx_lock(&m);
  ready = 1;
  mtx_unlock(&m);
  o.say("signal: %d", cnd_signal(&c) == thrd_success);
  waiter.join();
  cnd_destroy(&c);
  mtx_destroy(&m);
}

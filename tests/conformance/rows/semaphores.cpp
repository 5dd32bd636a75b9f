// Semaphores, read-write locks and barriers.
#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <thread>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("semaphore: waits, times out, is posted to") {
  sem_t s;
  sem_init(&s, 0, 1);
  COIR_OBSERVE(o, sem_wait(&s));
  COIR_OBSERVE(o, sem_trywait(&s));
  stopwatch watch;
  timespec t = after(CLOCK_REALTIME, 60);
  COIR_OBSERVE(o, sem_timedwait(&s, &t));
  o.took(watch, 60);
  watch.restart();
  t = after(CLOCK_MONOTONIC, 60);
  COIR_OBSERVE(o, sem_clockwait(&s, CLOCK_MONOTONIC, &t));
  o.took(watch, 60);
  t = {0, 1'000'000'000};
  COIR_OBSERVE(o, sem_timedwait(&s, &t));
  flow a("waiter", [&](log& w) { COIR_OBSERVE(w, sem_wait(&s)); });
  flow b("waiter", [&](log& w) { COIR_OBSERVE(w, sem_wait(&s)); });
  settle();
  o.say("%s %s", a.state(), b.state());
  COIR_OBSERVE(o, sem_post(&s));
  settle();
  o.say("%d done", static_cast<int>(a.done()) + static_cast<int>(b.done()));
  COIR_OBSERVE(o, sem_post(&s));
  a.join();
  b.join();
  COIR_OBSERVE(o, sem_destroy(&s));
}

COIR_ROW("semaphore: posted to from a thread that is none") {
  sem_t there, back;
  sem_init(&there, 0, 0);
  sem_init(&back, 0, 0);
  std::thread plain([&] {
    for (int i = 0; i < 100; ++i) {
      while (sem_wait(&there) != 0) {
      }
      sem_post(&back);
    }
  });
  int rounds = 0;
  for (; rounds < 100; ++rounds) {
    sem_post(&there);
    while (sem_wait(&back) != 0) {
    }
  }
  plain.join();
  o.say("%d rounds", rounds);
}

COIR_ROW("rwlock: readers together, writers alone") {
  pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
  o.say("read: %s", name_of_error(pthread_rwlock_rdlock(&l)));
  flow reader("reader", [&](log& r) {
    r.say("read: %s", name_of_error(pthread_rwlock_rdlock(&l)));
    r.say("try write: %s", name_of_error(pthread_rwlock_trywrlock(&l)));
    r.say("unlock: %s", name_of_error(pthread_rwlock_unlock(&l)));
  });
  reader.join();
  flow writer("writer", [&](log& w) {
    const timespec t = after(CLOCK_REALTIME, 50);
    stopwatch watch;
    w.say("timed: %s", name_of_error(pthread_rwlock_timedwrlock(&l, &t)));
    w.took(watch, 50);
    w.say("write: %s", name_of_error(pthread_rwlock_wrlock(&l)));
    w.say("write again: %s", name_of_error(pthread_rwlock_wrlock(&l)));
    w.say("read again: %s", name_of_error(pthread_rwlock_rdlock(&l)));
    nap(50);
    w.say("unlock: %s", name_of_error(pthread_rwlock_unlock(&l)));
  });
  nap(100);
  settle();
  o.say("writer %s", writer.state());
  o.say("unlock: %s", name_of_error(pthread_rwlock_unlock(&l)));
  settle();
  const timespec t = after(CLOCK_MONOTONIC, 2000);
  o.say("read: %s", name_of_error(pthread_rwlock_clockrdlock(&l, CLOCK_MONOTONIC, &t)));
  writer.join();
  o.say("unlock: %s", name_of_error(pthread_rwlock_unlock(&l)));
  o.say("write: %s, unlock: ", name_of_error(pthread_rwlock_wrlock(&l)));
  o.say("%s", name_of_error(pthread_rwlock_unlock(&l)));
  o.say("destroy: %s", name_of_error(pthread_rwlock_destroy(&l)));
}

COIR_ROW("barrier: lets all go when the last one comes, round after round") {
  pthread_barrier_t b;
  pthread_barrier_init(&b, nullptr, 3);
  std::atomic<int> serial{0}, arrived{0};
  const auto rounds = [&](log& w) {
    for (int i = 1; i <= 20; ++i) {
      ++arrived;
      if (pthread_barrier_wait(&b) == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
      w.check(arrived >= 3 * i, "all have arrived");
      pthread_barrier_wait(&b);
    }
  };
  flow x("round", rounds), y("round", rounds);
  settle();
  o.say("%s", x.state());
  rounds(o);
  x.join();
  y.join();
  o.say("%d serial; destroy: %s", serial.load(), name_of_error(pthread_barrier_destroy(&b)));
}

// Spin locks, and loops around a try: the holder gets on.
#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <functional>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("spin lock: held across a wait, the others wait too") {
  pthread_spinlock_t lock;
  o.say("init: %s", name_of_error(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE)));
  o.say("lock: %s", name_of_error(pthread_spin_lock(&lock)));
  int inside = 0;
  const auto use = [&](log& w) {
    w.say("try: %s", name_of_error(pthread_spin_trylock(&lock)));
    w.say("lock: %s", name_of_error(pthread_spin_lock(&lock)));
    w.say("%d inside", ++inside);
    nap(5);
    --inside;
    w.say("unlock: %s", name_of_error(pthread_spin_unlock(&lock)));
  };
  flow first("first", use), second("second", use);
  nap(30);
  o.say("%s %s", first.state(), second.state());
  o.say("unlock: %s", name_of_error(pthread_spin_unlock(&lock)));
  first.join();
  second.join();
  o.say("try: %s", name_of_error(pthread_spin_trylock(&lock)));
  o.say("unlock: %s", name_of_error(pthread_spin_unlock(&lock)));
  o.say("destroy: %s", name_of_error(pthread_spin_destroy(&lock)));
}

COIR_ROW("spin lock: a plain thread and a flow exclude each other") {
  static pthread_spinlock_t lock;
  static std::atomic<bool> held;
  static int count;
  pthread_spin_init(&lock, PTHREAD_PROCESS_SHARED);
  held = false;
  count = 0;
  pthread_t plain;
  COIR_MUST(pthread_create(
      &plain, nullptr,
      [](void*) -> void* {
        pthread_spin_lock(&lock);
        held = true;
        nap(30);
        pthread_spin_unlock(&lock);
        for (int i = 0; i < 2000; ++i) {
          pthread_spin_lock(&lock);
          ++count;
          pthread_spin_unlock(&lock);
        }
        return nullptr;
      },
      nullptr));
  while (!held) nap(1);
  const auto add = [](log& w) {
    for (int i = 0; i < 2000; ++i) {
      w.check(pthread_spin_lock(&lock) == 0, "lock");
      ++count;
      w.check(pthread_spin_unlock(&lock) == 0, "unlock");
    }
  };
  flow a("a", add), b("b", add);
  a.join();
  b.join();
  pthread_join(plain, nullptr);
  o.say("%d", count);
}

COIR_ROW("try: a loop around a call that does not wait lets the holder get on") {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t readers_and_writers = PTHREAD_RWLOCK_INITIALIZER;
  pthread_spinlock_t spin;
  sem_t semaphore;
  pthread_spin_init(&spin, 0);
  COIR_MUST(sem_init(&semaphore, 0, 1));
  const auto meet = [&](const char* what, const std::function<int()>& attempt,
                        const std::function<int()>& release) {
    o.say("%s: %d", what, attempt());
    flow tries(what, [&](log& w) {
      while (attempt() != 0) {
      }
      w.say("has it");
      release();
    });
    nap(5);
    o.say("%s: released %d", what, release());
    tries.join();
  };
  meet(
      "mutex", [&] { return pthread_mutex_trylock(&mutex); }, [&] { return pthread_mutex_unlock(&mutex); });
  meet(
      "writer", [&] { return pthread_rwlock_trywrlock(&readers_and_writers); },
      [&] { return pthread_rwlock_unlock(&readers_and_writers); });
  meet(
      "spin lock", [&] { return pthread_spin_trylock(&spin); }, [&] { return pthread_spin_unlock(&spin); });
  meet(
      "semaphore", [&] { return sem_trywait(&semaphore); }, [&] { return sem_post(&semaphore); });
  sem_destroy(&semaphore);
}

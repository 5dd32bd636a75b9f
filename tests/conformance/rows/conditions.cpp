// Condition variables, semaphores, barriers, once, joining: pthread's, C11's and C++'s.
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <thread>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

const char* name_of_error(int r) {
  return r == 0 ? "0" : strerrorname_np(r);
}

timespec after(clockid_t clock, long ms) {
  timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += ms % 1000 * 1'000'000;
  t.tv_sec += ms / 1000 + t.tv_nsec / 1'000'000'000;
  t.tv_nsec %= 1'000'000'000;
  return t;
}

void nap(long ms) {
  const timespec t = {0, ms * 1'000'000};
  nanosleep(&t, nullptr);
}

}  // namespace

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

COIR_ROW("once: the initialiser may wait; the others wait for it") {
  static pthread_once_t control;
  static int runs;
  control = PTHREAD_ONCE_INIT;
  runs = 0;
  const auto use = [](log& w) {
    w.say("%s", name_of_error(pthread_once(&control, [] {
            nap(30);
            ++runs;
          })));
    w.check(runs == 1, "it has run");
  };
  flow a("user", use), b("user", use);
  use(o);
  a.join();
  b.join();
  o.say("%d run", runs);
}

COIR_ROW("once: an initialiser that throws leaves it to the next") {
  std::once_flag flag;
  int runs = 0;
  const auto use = [&](log& w, bool fails) {
    try {
      std::call_once(flag, [&] {
        ++runs;
        nap(20);
        if (fails) throw 1;
      });
      w.say("returned");
    } catch (int) {
      w.say("threw");
    }
  };
  use(o, true);
  flow a("second", [&](log& w) { use(w, false); });
  a.join();
  use(o, false);
  o.say("%d runs", runs);
}

COIR_ROW("static: one flow makes a function-local static while another waits for it") {
  static std::atomic<int> made;
  made = 0;
  struct slow {
    slow() {
      nap(50);
      ++made;
    }
  };
  const auto use = [](log& w) {
    static slow s;
    w.say("%d made", made.load());
  };
  flow a("user", use), b("user", use);
  a.join();
  b.join();
  o.say("%d", made.load());
}

COIR_ROW("C++: future, latch, semaphore, atomic wait, notify and join") {
  std::promise<int> p;
  std::latch ready(1);
  std::counting_semaphore<8> s(0);
  std::atomic<int> word{0};
  flow a("future", [&](log& w) {
    auto f = p.get_future();
    w.say("wait_for: %s", f.wait_for(30ms) == std::future_status::timeout ? "timeout" : "?");
    w.say("%d", f.get());
  });
  flow b("latch", [&](log& w) {
    ready.wait();
    w.say("open");
  });
  flow d("semaphore", [&](log& w) {
    w.say("try_acquire_for: %d", s.try_acquire_for(30ms));
    s.acquire();
    w.say("acquired");
  });
  flow e("atomic", [&](log& w) {
    word.wait(0);
    w.say("%d", word.load());
  });
  nap(80);
  settle();
  o.say("%s %s %s %s", a.state(), b.state(), d.state(), e.state());
  p.set_value(7);
  ready.count_down();
  s.release();
  word = 3;
  word.notify_all();
  a.join();
  b.join();
  d.join();
  e.join();
  stopwatch watch;
  std::thread t([] { nap(40); });
  t.join();
  o.took(watch, 40);
}

COIR_ROW("join: a thread's value, its own self, a limit") {
  pthread_t t;
  COIR_MUST(pthread_create(
      &t, nullptr,
      [](void*) -> void* {
        nap(60);
        return reinterpret_cast<void*>(42);
      },
      nullptr));
  timespec limit = after(CLOCK_REALTIME, 20);
  void* value = nullptr;
  o.say("timed: %s", name_of_error(pthread_timedjoin_np(t, &value, &limit)));
  o.say("join: %s", name_of_error(pthread_join(t, &value)));
  o.say("%ld", reinterpret_cast<long>(value));
  o.say("self: %s", name_of_error(pthread_join(pthread_self(), nullptr)));
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

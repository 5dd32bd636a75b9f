// Once, function-local statics, joining, and what the C++ library builds on futex(2).
#include <pthread.h>
#include <setjmp.h>

#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <thread>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

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

COIR_ROW("once: an initialiser that is left by a jump leaves it to the next") {
  static pthread_once_t outer, inner;
  outer = inner = PTHREAD_ONCE_INIT;
  flow first("first", [&](log& w) {
    jmp_buf own;
    static jmp_buf* to;
    to = &own;
    if (setjmp(own) == 0)
      pthread_once(&outer, [] {
        pthread_once(&inner, [] {
          nap(40);
          longjmp(*to, 1);
        });
      });
    w.say("left");
  });
  settle();
  flow second("second", [&](log& w) {
    pthread_once(&outer, [] {});
    w.say("outer done");
    pthread_once(&inner, [] {});
    w.say("inner done");
  });
}

COIR_ROW("once: who waited for one that failed runs its own function, whatever others called meanwhile") {
  std::once_flag flag, elsewhere;
  std::atomic<bool> begun{false};
  flow fails("fails", [&](log& w) {
    try {
      std::call_once(flag, [&] {
        begun = true;
        nap(60);
        throw 1;
      });
    } catch (int) {
      w.say("threw");
    }
  });
  while (!begun) nap(1);
  int mine = 0, its = 0, others = 0;
  flow first("first", [&](log& w) {
    std::call_once(flag, [&] { ++mine; });
    w.say("returned");
  });
  flow second("second", [&](log& w) {
    std::call_once(flag, [&] { ++its; });
    w.say("returned");
  });
  settle();
  flow other("other", [&](log& w) {
    std::call_once(elsewhere, [&] {
      nap(100);
      ++others;
    });
    w.say("returned");
  });
  std::call_once(elsewhere, [&] { ++others; });
  first.join();
  second.join();
  other.join();
  o.say("%d run, %d elsewhere", mine + its, others);
}

COIR_ROW("once: a deferred future that many wait for, and others meanwhile, is made once") {
  int made = 0, others = 0;
  const std::shared_future<int> deferred = std::async(std::launch::deferred, [&] {
    nap(30);
    return ++made;
  });
  const std::shared_future<int> another = std::async(std::launch::deferred, [&] {
    nap(10);
    return ++others;
  });
  const auto use = [](log& w, std::shared_future<int> f) { w.say("%d", f.get()); };
  flow a("a", [&](log&w) { use(w, deferred); }), b("b", [&](log&w) { use(w, another); });
  flow c("c", [&](log&w) { use(w, deferred); }), d("d", [&](log&w) { use(w, another); });
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
  static std::atomic<bool> let_go;
  let_go = false;
  pthread_t t;
  COIR_MUST(pthread_create(
      &t, nullptr,
      [](void*) -> void* {
        while (!let_go) nap(5);
        return reinterpret_cast<void*>(42);
      },
      nullptr));
  timespec limit = after(CLOCK_REALTIME, 20);
  void* value = nullptr;
  o.say("timed: %s", name_of_error(pthread_timedjoin_np(t, &value, &limit)));
  let_go = true;
  o.say("join: %s", name_of_error(pthread_join(t, &value)));
  o.say("%ld", reinterpret_cast<long>(value));
  o.say("self: %s", name_of_error(pthread_join(pthread_self(), nullptr)));
}

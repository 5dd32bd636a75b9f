// Signal handlers that are left by siglongjmp while the thread sleeps in a call: the classic time limit.
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <limits>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

sigjmp_buf back;
volatile sig_atomic_t handled;

void jump(int) {
  siglongjmp(back, 1);
}

// In the handler itself.
void jump_inside(int) {
  sigjmp_buf here;
  if (sigsetjmp(here, 0) == 0) siglongjmp(here, 1);
  handled = handled + 1;
}

void install(void (*run)(int), int flags = 0) {
  struct sigaction a = {};
  a.sa_handler = run;
  a.sa_flags = flags;
  COIR_MUST(sigaction(SIGALRM, &a, nullptr));
}

// SIGALRM to the thread that made it, after `ms`.
class time_limit {
 public:
  explicit time_limit(long ms) {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = gettid();
    COIR_MUST(timer_create(CLOCK_MONOTONIC, &event, &timer_));
    const itimerspec t = {{}, {0, ms * 1'000'000}};
    COIR_MUST(timer_settime(timer_, 0, &t, nullptr));
  }
  ~time_limit() { timer_delete(timer_); }
  time_limit(const time_limit&) = delete;
  time_limit& operator=(const time_limit&) = delete;

 private:
  timer_t timer_;
};

bool alarm_is_blocked() {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return sigismember(&now, SIGALRM) == 1;
}

// Makes the call, which waits for ever, with a limit of 20 ms.
void limited(log& o, const char* what, const std::function<void()>& call) {
  const stopwatch since;
  time_limit limit(20);
  if (sigsetjmp(back, 1) == 0) {
    call();
    o.say("%s: returned", what);
  } else {
    o.say("%s: left", what);
  }
  o.took(since, 20);
  o.check(!alarm_is_blocked(), "the mask is what it was");
}

// Two of them: the thread sleeps on the one's stack, or on the other's.
struct busy_others {
  flow a{"a", busy}, b{"b", busy};
  static void busy(log& w) {
    for (int i = 0; i < 60; ++i) nap(3);
    w.say("done");
  }
};

}  // namespace

COIR_ROW_WITH(own_process | no_ticker, "jump: out of a handler, it leaves the call that waits") {
  install(jump);
  const both_ends e = make(kind::unix_stream), p = make(kind::pipe);
  char b[8];
  sem_t semaphore;
  COIR_MUST(sem_init(&semaphore, 0, 0));
  pollfd f = {e.a, POLLIN, 0};
  const listener door;
  const pid_t child = fork();
  if (child == 0) {
    alarm(5);
    for (;;) pause();
  }
  for (int round = 0; round < 2; ++round) {
    limited(o, "read of a pipe", [&] { (void)!::read(p.a, b, sizeof b); });
    limited(o, "recv", [&] { ::recv(e.a, b, sizeof b, 0); });
    limited(o, "poll", [&] { ::poll(&f, 1, -1); });
    limited(o, "sleep", [&] { ::sleep(1); });
    limited(o, "pause", [&] { ::pause(); });
    limited(o, "accept", [&] { ::accept(door.fd, nullptr, nullptr); });
    limited(o, "sem_wait", [&] { ::sem_wait(&semaphore); });
    limited(o, "waitpid", [&] { ::waitpid(child, nullptr, 0); });
    limited(o, "wait for any child", [&] { ::waitpid(-1, nullptr, 0); });
  }
  kill(child, SIGKILL);
  COIR_MUST(waitpid(child, nullptr, 0));
  // What was left has taken nothing.
  o.check(::write(e.b, "x", 1) == 1 && ::write(p.b, "y", 1) == 1, "write");
  COIR_OBSERVE(o, ::recv(e.a, b, 1, 0));
  COIR_OBSERVE(o, ::read(p.a, b + 1, 1));
  o.say("%.2s", b);
  sem_post(&semaphore);
  COIR_OBSERVE(o, ::sem_wait(&semaphore));
  sem_destroy(&semaphore);
}

COIR_ROW_WITH(own_process | no_ticker, "jump: out of a handler that found the thread asleep beside others") {
  install(jump);
  const both_ends e = make(kind::unix_stream);
  char b;
  pollfd f = {e.a, POLLIN, 0};
  busy_others others;
  for (int i = 0; i < 3; ++i) {
    limited(o, "recv", [&] { ::recv(e.a, &b, 1, 0); });
    limited(o, "poll", [&] { ::poll(&f, 1, -1); });
  }
}

COIR_ROW_WITH(own_process | no_ticker,
              "jump: out of a handler, it leaves the wait for a lock, without the lock") {
  install(jump);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, of_condition = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_t priority;
  pthread_mutexattr_t inherits;
  pthread_mutexattr_init(&inherits);
  COIR_MUST(pthread_mutexattr_setprotocol(&inherits, PTHREAD_PRIO_INHERIT));
  COIR_MUST(pthread_mutex_init(&priority, &inherits));
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_spinlock_t spin;
  pthread_spin_init(&spin, 0);
  std::atomic<bool> held{false}, over{false};
  std::atomic<int> word{0};
  flow holder("holder", [&](log& w) {
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&priority);
    pthread_spin_lock(&spin);
    held = true;
    while (!over) nap(2);
    pthread_mutex_unlock(&mutex);
    pthread_mutex_unlock(&priority);
    pthread_spin_unlock(&spin);
    w.say("released");
  });
  while (!held) nap(1);
  for (int round = 0; round < 2; ++round) {
    limited(o, "mutex", [&] { pthread_mutex_lock(&mutex); });
    limited(o, "priority-inheriting mutex", [&] { pthread_mutex_lock(&priority); });
    limited(o, "spin lock", [&] { pthread_spin_lock(&spin); });
    limited(o, "atomic", [&] { word.wait(0); });
  }
  pthread_mutex_lock(&of_condition);
  limited(o, "condition", [&] { pthread_cond_wait(&condition, &of_condition); });
  over = true;
  holder.join();
  o.say("mutex: %s", name_of_error(pthread_mutex_trylock(&mutex)));
  o.say("priority-inheriting mutex: %s", name_of_error(pthread_mutex_trylock(&priority)));
  o.say("spin lock: %s", name_of_error(pthread_spin_trylock(&spin)));
}

COIR_ROW_WITH(own_process | no_ticker,
              "jump: out of a wait for a condition, it is made once the caller has the mutex again") {
  install(jump);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  const timespec far = {std::numeric_limits<time_t>::max(), 0};
  busy_others others;
  for (const bool timed : {false, true})
    for (const bool taken : {false, true}) {
      std::atomic<bool> unlocked{!taken};
      pthread_mutex_lock(&mutex);
      flow other("other", [&](log&) {
        if (!taken) return;
        pthread_mutex_lock(&mutex);
        nap(60);
        unlocked = true;
        pthread_mutex_unlock(&mutex);
      });
      time_limit limit(20);
      if (sigsetjmp(back, 1) == 0)
        timed ? pthread_cond_timedwait(&condition, &mutex, &far) : pthread_cond_wait(&condition, &mutex);
      o.check(unlocked, "the jump waits for the mutex");
      o.say("trylock: %s", name_of_error(pthread_mutex_trylock(&mutex)));
      o.say("unlock: %s", name_of_error(pthread_mutex_unlock(&mutex)));
    }
}

COIR_ROW_WITH(own_process | no_ticker, "jump: a stream can be used after a call of it was left") {
  install(jump, SA_RESTART);
  const both_ends e = make(kind::pipe);
  FILE* in = fdopen(dup(e.a), "r");
  char line[16] = "";
  limited(o, "fgets", [&] { (void)!fgets(line, sizeof line, in); });
  o.check(::write(e.b, "hello\n", 6) == 6, "write");
  o.say("%d", fgets(line, sizeof line, in) == line);
  o.say("%.5s", line);
  fclose(in);
}

COIR_ROW_WITH(own_process | no_ticker, "jump: without a mask in the buffer the signal stays blocked") {
  install(jump);
  time_limit limit(20);
  if (sigsetjmp(back, 0) == 0) {
    ::sleep(1);
    o.say("returned");
  } else {
    o.say("left, blocked %d", alarm_is_blocked());
  }
  flow other("other", [](log& w) {
    nap(5);
    w.say("done");
  });
  other.join();
  o.say("blocked %d", alarm_is_blocked());
}

COIR_ROW_WITH(own_process | no_ticker,
              "jump: one that stays in the handler ends no more than a handler does") {
  install(jump_inside);
  const stopwatch since;
  time_limit limit(20);
  const timespec t = {0, 900'000'000};
  COIR_OBSERVE(o, ::nanosleep(&t, nullptr));
  o.took(since, 20);
  o.say("handled %d", handled);
}

COIR_ROW_WITH(own_process, "jump: out of a handler that ran in the middle of many calls") {
  install(jump);
  const both_ends e = make(kind::unix_stream);
  int left = 0;
  flow echo("echo", [&](log& w) {
    char b;
    while (::recv(e.b, &b, 1, 0) == 1)
      if (::send(e.b, &b, 1, 0) != 1) break;
    w.say("end");
  });
  const auto until_left = [&] {
    time_limit limit(2);
    if (sigsetjmp(back, 1) != 0) return;
    for (char b = 'x';;) {
      if (::send(e.a, &b, 1, MSG_DONTWAIT) == 1) ::recv(e.a, &b, 1, MSG_DONTWAIT);
    }
  };
  for (; left < 10; ++left) until_left();
  o.say("left %d times", left);
  ::shutdown(e.a, SHUT_RDWR);
  echo.join();
}

// Signal masks: each flow of control has its own.
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

volatile sig_atomic_t handled;

void count(int) {
  handled = handled + 1;
}

sigset_t set_of(int number) {
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, number);
  return s;
}

int blocked(int number) {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return sigismember(&now, number);
}

int pending(int number) {
  sigset_t now;
  sigpending(&now);
  return sigismember(&now, number);
}

void install(int flags) {
  struct sigaction a = {};
  a.sa_handler = count;
  a.sa_flags = flags;
  COIR_MUST(sigaction(SIGUSR1, &a, nullptr));
}

}  // namespace

COIR_ROW_WITH(own_process, "masks: what a flow blocks, the others do not") {
  const sigset_t one = set_of(SIGUSR1), two = set_of(SIGUSR2);
  flow first("first", [&](log& f) {
    COIR_OBSERVE(f, pthread_sigmask(SIG_BLOCK, &one, nullptr));
    for (int i = 0; i < 5; ++i) {
      f.say("%d %d", blocked(SIGUSR1), blocked(SIGUSR2));
      nap(5);
    }
    COIR_OBSERVE(f, pthread_sigmask(SIG_UNBLOCK, &one, nullptr));
    nap(5);
    f.say("%d %d", blocked(SIGUSR1), blocked(SIGUSR2));
  });
  flow second("second", [&](log& f) {
    COIR_OBSERVE(f, sigprocmask(SIG_BLOCK, &two, nullptr));
    for (int i = 0; i < 7; ++i) {
      f.say("%d %d", blocked(SIGUSR1), blocked(SIGUSR2));
      nap(4);
    }
  });
  for (int i = 0; i < 6; ++i) {
    o.say("%d %d", blocked(SIGUSR1), blocked(SIGUSR2));
    nap(6);
  }
}

COIR_ROW_WITH(own_process, "masks: a new flow begins with its maker's") {
  const sigset_t one = set_of(SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
  flow child("child", [&](log& f) {
    f.say("child %d", blocked(SIGUSR1));
    nap(10);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    f.say("child %d", blocked(SIGUSR1));
    flow grandchild("grandchild", [](log& g) {
      nap(1);
      g.say("grandchild %d", blocked(SIGUSR1));
    });
    nap(10);
    f.say("child %d", blocked(SIGUSR1));
  });
  nap(15);
  o.say("maker %d", blocked(SIGUSR1));
  child.join();
  o.say("maker %d", blocked(SIGUSR1));
}

COIR_ROW_WITH(own_process, "masks: errors") {
  const sigset_t one = set_of(SIGUSR1);
  sigset_t before;
  COIR_OBSERVE(o, pthread_sigmask(77, &one, nullptr));
  COIR_OBSERVE(o, sigprocmask(77, &one, nullptr));
  COIR_OBSERVE(o, sigprocmask(77, nullptr, &before));
  o.say("%d", blocked(SIGUSR1));
  sigset_t all;
  sigfillset(&all);
  COIR_OBSERVE(o, pthread_sigmask(SIG_SETMASK, &all, &before));
  o.say("SIGKILL %d SIGSTOP %d SIGUSR2 %d", blocked(SIGKILL), blocked(SIGSTOP), blocked(SIGUSR2));
  COIR_OBSERVE(o, pthread_sigmask(SIG_SETMASK, &before, nullptr));
}

COIR_ROW_WITH(own_process, "masks: what a flow raised and blocks is held for it while others run") {
  install(SA_RESTART);
  const sigset_t one = set_of(SIGUSR1);
  flow holds("holds", [&](log& f) {
    pthread_sigmask(SIG_BLOCK, &one, nullptr);
    raise(SIGUSR1);
    f.say("pending %d handled %d", pending(SIGUSR1), handled);
    nap(20);
    f.say("pending %d handled %d", pending(SIGUSR1), handled);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    f.say("pending %d handled %d", pending(SIGUSR1), handled);
  });
  for (int i = 0; i < 10; ++i) nap(3);
  holds.join();
  o.say("handled %d", handled);
}

COIR_ROW_WITH(own_process, "masks: a broken pipe's signal is its writer's") {
  const sigset_t broken = set_of(SIGPIPE);
  both_ends e = make(kind::unix_stream);
  e.a.close();
  flow writer("writer", [&](log& f) {
    pthread_sigmask(SIG_BLOCK, &broken, nullptr);
    COIR_OBSERVE(f, ::write(e.b, "x", 1));
    nap(20);
    f.say("pending %d", pending(SIGPIPE));
    const timespec none = {};
    COIR_OBSERVE(f, sigtimedwait(&broken, nullptr, &none));
    pthread_sigmask(SIG_UNBLOCK, &broken, nullptr);
  });
  for (int i = 0; i < 10; ++i) nap(3);
}

COIR_ROW_WITH(own_process | no_ticker, "sigsuspend: returns after the handler, and the mask is back") {
  install(SA_RESTART);
  const sigset_t one = set_of(SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
  sigset_t none;
  sigemptyset(&none);
  flow suspends("suspends", [&](log& f) {
    const stopwatch since;
    COIR_OBSERVE(f, sigsuspend(&none));
    f.took(since, 30);
    f.say("handled %d, blocked %d", handled, blocked(SIGUSR1));
  });
  flow kills("kills", [&](log&) {
    nap(40);
    kill(getpid(), SIGUSR1);
  });
  suspends.join();
  kills.join();
  // One that was pending before.
  kill(getpid(), SIGUSR1);
  o.say("pending %d", pending(SIGUSR1));
  const stopwatch since;
  COIR_OBSERVE(o, sigsuspend(&none));
  o.took_no_time(since);
  o.say("handled %d, blocked %d", handled, blocked(SIGUSR1));
}

COIR_ROW_WITH(own_process | no_ticker,
              "sigsuspend: its mask is its own, and the others hear of their signals") {
  install(0);
  struct sigaction a = {};
  a.sa_handler = count;
  COIR_MUST(sigaction(SIGALRM, &a, nullptr));
  const sigset_t one = set_of(SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
  flow suspends("suspends", [&](log& f) {
    sigset_t all_but_one;
    sigfillset(&all_but_one);
    sigdelset(&all_but_one, SIGUSR1);
    COIR_OBSERVE(f, sigsuspend(&all_but_one));
    f.say("blocked %d %d", blocked(SIGUSR1), blocked(SIGALRM));
  });
  settle();
  const stopwatch since;
  const itimerval soon = {{}, {0, 40'000}};
  COIR_MUST(setitimer(ITIMER_REAL, &soon, nullptr));
  const timespec long_time = {0, 400'000'000};
  COIR_OBSERVE(o, nanosleep(&long_time, nullptr));
  o.took(since, 40);
  o.say("handled %d, the other %s", handled, suspends.state());
  // In this flow the signal stays blocked, whatever the other lets through.
  kill(getpid(), SIGUSR1);
  suspends.join();
  o.say("handled %d", handled);
}

COIR_ROW_WITH(own_process | no_ticker,
              "masks: a signal that one flow lets through reaches it while all sleep") {
  install(0);
  const sigset_t one = set_of(SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
  flow open("open", [&](log& f) {
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    const timespec long_time = {0, 400'000'000};
    const stopwatch since;
    COIR_OBSERVE(f, nanosleep(&long_time, nullptr));
    f.took(since, 30);
  });
  settle();
  nap(30);
  kill(getpid(), SIGUSR1);
  open.join();
  o.say("handled %d, pending %d", handled, pending(SIGUSR1));
}

COIR_ROW_WITH(own_process, "masks: the child of a vfork has its own") {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t child = vfork();
  if (child == 0) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    _exit(blocked(SIGTERM));
  }
  o.say("%d", blocked(SIGTERM));
  int status = 0;
  COIR_OBSERVE(o, waitpid(child, &status, 0) == child);
  o.say("child %d", status);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  flow other("other", [](log& f) {
    nap(5);
    f.say("%d", blocked(SIGTERM));
  });
  nap(10);
  o.say("%d", blocked(SIGTERM));
}

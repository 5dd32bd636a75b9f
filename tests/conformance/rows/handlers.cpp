// Signal handlers: what sigaction says of them, and calls made in them.
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstring>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // siginterrupt

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

volatile sig_atomic_t handled;
int to_write, to_close;
sem_t to_post, ticks, stop;
std::atomic<unsigned> futex_word;
sigjmp_buf to_jump;

void count(int) {
  handled = handled + 1;
}
void count_with_info(int number, siginfo_t* info, void* context) {
  if (info != nullptr && info->si_signo == number && context != nullptr) handled = handled + 1;
}
void write_a_byte(int) {
  const ssize_t r = ::write(to_write, "x", 1);
  handled = handled + static_cast<int>(r);
}
void close_it(int) {
  handled = handled + ::close(to_close);
}
void post(int) {
  sem_post(&to_post);
}
void jump(int) {
  siglongjmp(to_jump, 7);
}

const char* name_of(const struct sigaction& a) {
  if ((a.sa_flags & SA_SIGINFO) != 0)
    return a.sa_sigaction == count_with_info ? "count_with_info" : "other info";
  return a.sa_handler == SIG_DFL   ? "default"
         : a.sa_handler == SIG_IGN ? "ignore"
         : a.sa_handler == count   ? "count"
         : a.sa_handler == jump    ? "jump"
                                   : "other";
}

void say(log& o, int number) {
  struct sigaction a = {};
  COIR_OBSERVE(o, sigaction(number, nullptr, &a));
  o.say("%s, flags %x, masks SIGUSR2 %d", name_of(a), static_cast<unsigned>(a.sa_flags) & ~0x04000000U,
        sigismember(&a.sa_mask, SIGUSR2));
}

void install(int number, void (*run)(int), int flags = 0) {
  struct sigaction a = {};
  a.sa_handler = run;
  a.sa_flags = flags;
  COIR_MUST(sigaction(number, &a, nullptr));
}

}  // namespace

COIR_ROW_WITH(own_process, "sigaction: what was set is what is told") {
  say(o, SIGUSR1);
  struct sigaction a = {}, before = {};
  a.sa_handler = count;
  a.sa_flags = SA_RESTART | SA_NODEFER;
  sigaddset(&a.sa_mask, SIGUSR2);
  COIR_OBSERVE(o, sigaction(SIGUSR1, &a, &before));
  o.say("before: %s", name_of(before));
  say(o, SIGUSR1);
  a = {};
  a.sa_sigaction = count_with_info;
  a.sa_flags = SA_SIGINFO;
  COIR_OBSERVE(o, sigaction(SIGUSR1, &a, &before));
  o.say("before: %s, flags %x", name_of(before), static_cast<unsigned>(before.sa_flags) & ~0x04000000U);
  say(o, SIGUSR1);
  raise(SIGUSR1);
  o.say("handled %d", handled);
  a = {};
  a.sa_handler = count;
  a.sa_flags = static_cast<int>(SA_RESETHAND) | 0x400;  // a flag that the kernel does not know
  COIR_OBSERVE(o, sigaction(SIGUSR1, &a, nullptr));
  raise(SIGUSR1);
  o.say("handled %d", handled);
  say(o, SIGUSR1);
  install(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  say(o, SIGUSR1);
}

COIR_ROW_WITH(own_process, "sigaction: errors") {
  struct sigaction a = {};
  a.sa_handler = count;
  COIR_OBSERVE(o, sigaction(0, &a, nullptr));
  COIR_OBSERVE(o, sigaction(65, &a, nullptr));
  COIR_OBSERVE(o, sigaction(-1, nullptr, &a));
  COIR_OBSERVE(o, sigaction(SIGKILL, &a, nullptr));
  COIR_OBSERVE(o, sigaction(SIGSTOP, &a, nullptr));
  COIR_OBSERVE(o, sigaction(SIGKILL, nullptr, &a));
  COIR_OBSERVE(o, signal(SIGKILL, count) == SIG_ERR ? -1 : 0);
  COIR_OBSERVE(o, signal(0, count) == SIG_ERR ? -1 : 0);
  COIR_OBSERVE(o, siginterrupt(0, 1));
  // What failed has changed nothing.
  install(SIGUSR1, count, SA_RESTART);
  a.sa_handler = jump;
  COIR_OBSERVE(o, sigaction(SIGKILL, &a, nullptr));
  say(o, SIGUSR1);
}

COIR_ROW_WITH(own_process, "signal: returns the handler before; siginterrupt takes SA_RESTART away") {
  o.say("default %d", signal(SIGUSR1, count) == SIG_DFL);
  o.say("count %d", signal(SIGUSR1, count) == count);
  say(o, SIGUSR1);
  COIR_OBSERVE(o, siginterrupt(SIGUSR1, 1));
  say(o, SIGUSR1);
  o.say("count %d", signal(SIGUSR1, count) == count);
  say(o, SIGUSR1);
  COIR_OBSERVE(o, siginterrupt(SIGUSR1, 0));
  say(o, SIGUSR1);
  o.say("count %d", signal(SIGUSR1, SIG_IGN) == count);
  o.say("ignore %d", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

COIR_ROW_WITH(own_process, "signal: takes what sysv_signal returns") {
  install(SIGUSR1, count, SA_RESTART);
  const sighandler_t before = sysv_signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  o.say("handled %d", handled);
  o.check(signal(SIGUSR1, before) != SIG_ERR, "signal");
  raise(SIGUSR1);
  o.say("handled %d", handled);
  say(o, SIGUSR1);
}

COIR_ROW_WITH(own_process, "handler: raise runs it at once, and interrupts nobody who waits") {
  install(SIGUSR1, count);
  const both_ends e = make(kind::pipe);
  flow waits("waits", [&](log& w) {
    pollfd f = {e.a, POLLIN, 0};
    const stopwatch since;
    COIR_OBSERVE(w, poll(&f, 1, 1000));
    w.took(since, 20);
  });
  flow raises("raises", [&](log& r) {
    nap(20);
    raise(SIGUSR1);
    r.say("handled %d", handled);
    nap(20);
    r.check(::write(e.b, "x", 1) == 1, "write");
  });
}

COIR_ROW_WITH(own_process, "handler: a byte written in it wakes a flow that reads") {
  const both_ends e = make(kind::pipe);
  to_write = e.b;
  install(SIGUSR1, write_a_byte, SA_RESTART);
  flow reads("reads", [&](log& r) {
    char b;
    const stopwatch since;
    COIR_OBSERVE(r, ::read(e.a, &b, 1));
    r.took(since, 20);
  });
  nap(30);
  raise(SIGUSR1);
  reads.join();
  o.say("handled %d", handled);
}

COIR_ROW_WITH(own_process, "handler: of what it closes the number's next owner can be waited for") {
  signal(SIGUSR1, close_it);
  const auto is_waited_for = [&](const both_ends& e) {
    const stopwatch since;
    flow writer("writer", [&](log& w) {
      nap(10);
      COIR_OBSERVE(w, ::write(e.b, "x", 1));
    });
    pollfd p = {e.a, POLLIN, 0};
    COIR_OBSERVE(o, ::poll(&p, 1, 900));
    o.took(since, 10);
    char b[4];
    COIR_OBSERVE(o, ::read(e.a, b, sizeof b));
  };
  both_ends first = make(kind::pipe);
  is_waited_for(first);
  to_close = first.a.release();
  raise(SIGUSR1);
  int next[2];  // opened unheard
  COIR_MUST(static_cast<int>(syscall(SYS_pipe2, next, 0)));
  o.check(next[0] == to_close, "the number is used again");
  is_waited_for({descriptor(next[0]), descriptor(next[1])});
}

COIR_ROW_WITH(own_process, "handler: sem_post in it wakes a flow that waits") {
  COIR_MUST(sem_init(&to_post, 0, 0));
  install(SIGUSR1, post, SA_RESTART);
  flow waits("waits", [&](log& w) {
    const stopwatch since;
    COIR_OBSERVE(w, sem_wait(&to_post));
    w.took(since, 20);
  });
  settle();
  nap(20);
  raise(SIGUSR1);
  waits.join();
  // And posted to while everybody sleeps.
  flow again("again", [&](log& w) {
    const stopwatch since;
    COIR_OBSERVE(w, sem_wait(&to_post));
    w.took(since, 20);
  });
  settle();
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  timer_t timer;
  COIR_MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
  const itimerspec t = {{}, {0, 30'000'000}};
  COIR_MUST(timer_settime(timer, 0, &t, nullptr));
  again.join();
  timer_delete(timer);
  sem_destroy(&to_post);
}

COIR_ROW_WITH(own_process, "handler: it may be left by siglongjmp, and calls wait as before") {
  install(SIGUSR1, jump);
  const stopwatch since;
  if (const int r = sigsetjmp(to_jump, 1); r == 0) {
    raise(SIGUSR1);
    o.say("not reached");
  } else {
    o.say("jumped with %d", r);
  }
  flow other("other", [&](log& w) {
    nap(30);
    w.took(since, 30);
  });
  nap(30);
  other.join();
  o.took(since, 30);
}

COIR_ROW_WITH(own_process, "handler: many sem_posts before anybody waits again lose none") {
  COIR_MUST(sem_init(&ticks, 0, 0));
  COIR_MUST(sem_init(&stop, 0, 0));
  install(
      SIGUSR1, [](int) { sem_post(&ticks); }, SA_RESTART);
  install(
      SIGUSR2, [](int) { sem_post(&stop); }, SA_RESTART);
  flow first("first", [&](log& w) {
    for (int i = 0; i < 50; ++i) sem_wait(&ticks);
    w.say("fifty");
  });
  flow second("second", [&](log& w) {
    for (int i = 0; i < 50; ++i) sem_wait(&ticks);
    w.say("fifty");
  });
  flow ends("ends", [&](log& w) { COIR_OBSERVE(w, sem_wait(&stop)); });
  settle();
  for (int i = 0; i < 100; ++i) raise(SIGUSR1);
  raise(SIGUSR2);
}

COIR_ROW_WITH(own_process | no_ticker, "handler: a futex woken in it ends the wait of the only thread") {
  install(
      SIGALRM,
      [](int) {
        futex_word = 1;
        syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
      },
      SA_RESTART);
  const itimerval soon = {{}, {0, 30'000}};
  COIR_MUST(setitimer(ITIMER_REAL, &soon, nullptr));
  const stopwatch since;
  while (futex_word == 0) syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  o.took(since, 20);
}

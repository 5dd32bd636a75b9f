// Waiting for child processes, running commands, waiting for signals.
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "../row.hpp"
#include "../things.hpp"
#include "stdio_output.hpp"

using namespace conformance;

namespace {

// A child that ends after `ms` with `status`; it makes system calls only.
pid_t child(long ms, int status) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  timespec t = {ms / 1000, ms % 1000 * 1'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
  _exit(status);
}

void say_status(log& o, const char* what, int status) {
  if (WIFEXITED(status))
    o.say("%s: exited %d", what, WEXITSTATUS(status));
  else if (WIFSIGNALED(status))
    o.say("%s: killed by %d", what, WTERMSIG(status));
  else
    o.say("%s: status %x", what, status);
}

}  // namespace

COIR_ROW("waitpid: one child, while others run") {
  stopwatch watch;
  const pid_t slow = child(150, 7), quick = child(40, 8);
  int status = 0;
  o.say("not yet: %d", waitpid(quick, &status, WNOHANG) == 0);
  o.say("quick: %d", waitpid(quick, &status, 0) == quick);
  say_status(o, "quick", status);
  o.took(watch, 40);
  flow other("other", [&](log& w) {
    int s = 0;
    rusage usage = {};
    w.say("slow: %d", wait4(slow, &s, 0, &usage) == slow);
    say_status(w, "slow", s);
  });
  settle();
  o.say("%s", other.state());
  other.join();
  COIR_OBSERVE(o, waitpid(slow, &status, 0));
}

COIR_ROW("waitpid: a child that a signal ends, and one that another flow takes") {
  const pid_t pid = child(3000, 0);
  flow killer("killer", [&](log&) {
    timespec t = {0, 50'000'000};
    nanosleep(&t, nullptr);
    kill(pid, SIGKILL);
  });
  int status = 0;
  o.say("%d", waitpid(pid, &status, 0) == pid);
  say_status(o, "killed", status);
  const pid_t shared = child(60, 3);
  std::atomic<int> got{0}, none{0};
  const auto take = [&](log&) {
    int s;
    const pid_t r = waitpid(shared, &s, 0);
    ++(r == shared ? got : none);
  };
  flow a("one of two", take), b("one of two", take);
  a.join();
  b.join();
  o.say("%d got it, %d did not", got.load(), none.load());
}

COIR_ROW_WITH(own_process, "wait: any child, in the order they end; waitid without taking") {
  const pid_t first = child(40, 1), second = child(120, 2);
  siginfo_t info = {};
  o.say("look: %d", waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
  o.say("%d status %d", info.si_pid == first, info.si_status);
  int status = 0;
  o.say("wait: %d", wait(&status) == first);
  say_status(o, "first", status);
  flow other("other", [&](log& w) {
    int s = 0;
    w.say("any: %d", waitpid(-1, &s, 0) == second);
    say_status(w, "second", s);
  });
  settle();
  o.say("%s", other.state());
  other.join();
  COIR_OBSERVE(o, wait(&status));
}

COIR_ROW("waitpid: stops and continues") {
  const pid_t pid = fork();
  if (pid == 0) {
    raise(SIGSTOP);
    _exit(5);
  }
  int status = 0;
  o.say("stopped: %d", waitpid(pid, &status, WUNTRACED) == pid);
  o.say("%d by %d", WIFSTOPPED(status), WSTOPSIG(status) == SIGSTOP);
  kill(pid, SIGCONT);
  siginfo_t info = {};
  o.say("ended: %d", waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED));
  o.say("%d %d", info.si_code == CLD_EXITED, info.si_status);
}

COIR_ROW_WITH(own_process, "system: status, several at once, signals as they were") {
  o.say("shell: %d", system(nullptr));
  o.say("exit 3: %d", WEXITSTATUS(system("exit 3")));
  o.say("not found: %d", WEXITSTATUS(system("/no/such/program 2>/dev/null")));
  o.say("killed: %d", WTERMSIG(system("kill -9 $$")));
  stopwatch watch;
  {
    flow a("system", [](log& w) { w.say("%d", system("sleep 0.2")); });
    flow b("system", [](log& w) { w.say("%d", system("sleep 0.2")); });
    flow d("system", [](log& w) { w.say("%d", system("sleep 0.2; exit 1") >> 8); });
  }
  o.took(watch, 200);
  struct sigaction now = {};
  sigaction(SIGINT, nullptr, &now);
  o.say("SIGINT: %d", now.sa_handler == SIG_DFL);
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  o.say("SIGCHLD blocked: %d", sigismember(&mask, SIGCHLD));
}

COIR_ROW("popen and pclose: the command's status, while others run") {
  stopwatch watch;
  FILE* f = popen("sleep 0.1; exit 4", "r");
  flow other("other", [](log& w) {
    FILE* g = popen("cat > /dev/null; exit 2", "w");
    fputs("hello", g);
    w.say("%d", WEXITSTATUS(pclose(g)));
  });
  o.say("%d", WEXITSTATUS(pclose(f)));
  o.took(watch, 100);
  other.join();
}

COIR_ROW_WITH(own_process, "pclose: the command's status counts, also where it did not read all") {
  signal(SIGPIPE, SIG_IGN);
  for (const char* command : {"exec false", "exec true"}) {
    FILE* f = popen(command, "w");
    siginfo_t info;
    COIR_MUST(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    fputs("for nobody", f);
    o.say("%s", command);
    COIR_NOTED(pclose(f));
  }
}

COIR_ROW_WITH(own_process | no_ticker, "popen: streams that a plain thread closes leave nothing behind") {
  std::thread([&] {
    std::size_t in_use[3] = {};  // the first: with what is made once
    for (std::size_t& now : in_use) {
      for (int (*const close_it)(FILE*) : {pclose, fclose})
        for (int i = 0; i < 40; ++i) close_it(popen(":", "r"));
      now = mallinfo2().uordblks;
    }
    o.check(in_use[1] == in_use[2], "as much memory in use as before");
  }).join();
}

COIR_ROW_WITH(own_process | no_ticker, "sigwait: a blocked signal is waited for, and not handled") {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  stopwatch watch;
  timespec t = {0, 60'000'000};
  COIR_OBSERVE(o, sigtimedwait(&set, nullptr, &t));
  o.took(watch, 60);
  flow sender("sender", [](log&) {
    timespec nap = {0, 50'000'000};
    nanosleep(&nap, nullptr);
    kill(getpid(), SIGUSR1);
  });
  int number = 0;
  o.say("%d", sigwait(&set, &number));
  o.say("%d", number == SIGUSR1);
  sender.join();
  kill(getpid(), SIGUSR1);
  siginfo_t info = {};
  o.say("%d", sigwaitinfo(&set, &info) == SIGUSR1);
  o.say("%d", info.si_pid == getpid());
}

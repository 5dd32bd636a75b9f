// SIGSEGV, SIGBUS and alternate stacks: what the program set is what is told, and what runs.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include <cstring>
#include <vector>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

volatile sig_atomic_t handled;
const char* volatile handled_at;
sigjmp_buf back;

void count(int) {
  handled = handled + 1;
  handled_at = static_cast<const char*>(__builtin_frame_address(0));
}
void count_with_info(int number, siginfo_t* info, void* context) {
  if (info->si_signo == number && context != nullptr) handled = handled + 1;
  handled_at = static_cast<const char*>(__builtin_frame_address(0));
}
void jump(int) {
  siglongjmp(back, 1);
}

void say_action(log& o, int number) {
  struct sigaction a = {};
  COIR_OBSERVE(o, sigaction(number, nullptr, &a));
  const bool info = (a.sa_flags & SA_SIGINFO) != 0;
  o.say("%s, flags %x, masks SIGUSR1 %d",
        info                      ? a.sa_sigaction == count_with_info ? "with info" : "another with info"
        : a.sa_handler == SIG_DFL ? "default"
        : a.sa_handler == SIG_IGN ? "ignored"
        : a.sa_handler == count   ? "count"
        : a.sa_handler == jump    ? "jump"
                                  : "another",
        static_cast<unsigned>(a.sa_flags) & ~0x04000000U, sigismember(&a.sa_mask, SIGUSR1));
}

void say_stack(log& o, const void* ours) {
  stack_t s;
  std::memset(&s, 1, sizeof s);
  COIR_OBSERVE(o, sigaltstack(nullptr, &s));
  o.say("flags %d, %s, %s", s.ss_flags,
        s.ss_sp == nullptr ? "none"
        : s.ss_sp == ours  ? "ours"
                           : "another",
        s.ss_size == 0 ? "no size" : "a size");
}

void install(int number, void (*run)(int), int flags) {
  struct sigaction a = {};
  a.sa_handler = run;
  a.sa_flags = flags;
  sigaddset(&a.sa_mask, SIGUSR1);
  COIR_MUST(sigaction(number, &a, nullptr));
}

}  // namespace

COIR_ROW_WITH(own_process | libc_checks, "SIGSEGV: what the program set is what is told") {
  install(SIGBUS, count, SA_RESTART);
  flow other("other", [](log& w) {
    nap(1);
    w.say("done");
  });
  other.join();
  say_action(o, SIGSEGV);
  say_action(o, SIGBUS);
  raise(SIGBUS);
  o.say("handled %d", handled);
  for (const int number : {SIGSEGV, SIGBUS}) {
    struct sigaction a = {}, before = {};
    a.sa_sigaction = count_with_info;
    a.sa_flags = SA_SIGINFO;
    sigaddset(&a.sa_mask, SIGUSR1);
    COIR_OBSERVE(o, sigaction(number, &a, &before));
    o.say("before: %d %d", before.sa_handler == SIG_DFL, before.sa_handler == count);
    say_action(o, number);
    raise(number);
    o.say("handled %d", handled);
    a = {};
    a.sa_handler = count;
    COIR_OBSERVE(o, sigaction(number, &a, &before));
    o.say("with info before: %d", before.sa_sigaction == count_with_info);
    say_action(o, number);
    install(number, count, static_cast<int>(SA_RESETHAND));
    raise(number);
    o.say("handled %d", handled);
    say_action(o, number);
    o.say("default before: %d", signal(number, SIG_IGN) == SIG_DFL);
    raise(number);
    say_action(o, number);
    o.say("ignored before: %d", signal(number, SIG_DFL) == SIG_IGN);
    say_action(o, number);
  }
}

COIR_ROW_WITH(own_process | libc_checks,
              "sigaltstack: what the program set is what is told, and where its handlers run") {
  flow other("other", [](log& w) {
    nap(1);
    w.say("done");
  });
  other.join();
  say_stack(o, nullptr);
  std::vector<char> memory(64 * 1024);
  const auto on_it = [&] {
    return handled_at >= memory.data() && handled_at < memory.data() + memory.size();
  };
  stack_t mine = {}, before = {};
  mine.ss_flags = SS_DISABLE;
  COIR_OBSERVE(o, sigaltstack(&mine, &before));
  o.say("before: flags %d", before.ss_flags);
  mine = {};
  mine.ss_sp = memory.data();
  mine.ss_size = 16;
  COIR_OBSERVE(o, sigaltstack(&mine, nullptr));
  mine.ss_size = memory.size();
  mine.ss_flags = 77;
  COIR_OBSERVE(o, sigaltstack(&mine, nullptr));
  mine.ss_flags = 0;
  COIR_OBSERVE(o, sigaltstack(&mine, &before));
  o.say("before: flags %d", before.ss_flags);
  say_stack(o, memory.data());
  for (const int number : {SIGSEGV, SIGUSR2}) {
    install(number, count, SA_ONSTACK);
    raise(number);
    o.say("handled %d, on it %d", handled, on_it());
  }
  pthread_t plain;
  COIR_MUST(pthread_create(
      &plain, nullptr,
      [](void* about) -> void* {
        say_stack(*static_cast<log*>(about), nullptr);
        return nullptr;
      },
      &o));
  pthread_join(plain, nullptr);
  mine.ss_flags = SS_DISABLE;
  COIR_OBSERVE(o, sigaltstack(&mine, &before));
  o.say("before: flags %d, ours %d", before.ss_flags, before.ss_sp == memory.data());
  say_stack(o, memory.data());
  install(SIGSEGV, count, SA_ONSTACK);
  raise(SIGSEGV);
  o.say("handled %d, on it %d", handled, on_it());
}

COIR_ROW_WITH(own_process | libc_checks | bad_reads,
              "SIGSEGV: a handler that is left by siglongjmp gets the next fault too") {
  flow other("other", [](log& w) {
    nap(1);
    w.say("done");
  });
  other.join();
  install(SIGSEGV, jump, SA_ONSTACK);
  const auto fault = [&] {
    if (sigsetjmp(back, 1) == 0)
      *bad_pointer<volatile int>(64) = 1;
    else
      o.say("caught");
  };
  for (int i = 0; i < 3; ++i) fault();
  nap(2);
  o.say("and waits as before");
}

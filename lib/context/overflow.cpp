#include "context/overflow.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "base/raw_lock.hpp"
#include "base/signal_bits.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"

namespace coir::context {

bool (*describe_overflow)(const void* address, const void* sp) noexcept = nullptr;

namespace {

constexpr std::size_t alternate_size = 64 * 1024;
constexpr int restorer = 0x04000000;  // SA_RESTORER, which the kernel tells of

constinit thread_local alternate_stack* of_thread __attribute__((tls_model("initial-exec"))) = nullptr;

std::atomic<bool> installed{false};

// What the program wants of SIGSEGV and of SIGBUS.
struct wanted_actions {
  base::raw_lock lock;
  struct sigaction segv, bus;

  struct sigaction& of(int signal) noexcept {
    return signal == SIGBUS ? bus : segv;
  }
};
wanted_actions wanted;

// With all signals blocked but those of the audit: a handler may ask for what is being changed.
class exclusively {
 public:
  exclusively() noexcept {
    const std::uint64_t all = ~(base::bit(SIGSYS) | base::bit(SIGTRAP));
    sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, sys::word(&all), sys::word(&before_), sizeof all);
    wanted.lock.lock();
  }
  ~exclusively() {
    wanted.lock.unlock();
    sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, sys::word(&before_), 0, sizeof before_);
  }
  exclusively(const exclusively&) = delete;
  exclusively& operator=(const exclusively&) = delete;

 private:
  std::uint64_t before_ = 0;
};

const bool handlers_told_at_fork =
    ::pthread_atfork(nullptr, nullptr, [] { new (&wanted.lock) base::raw_lock; }) == 0;

bool is_handler(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) != 0 || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
}

// Past libc, whose function may have to be looked up first.
void set_default(int signal) noexcept {
  constexpr unsigned long kernel_action[4] = {};  // SIG_DFL, no flags, no restorer, an empty mask
  sys::raw(SYS_rt_sigaction, signal, sys::word(kernel_action), 0, 8);
}

struct sigaction take(int signal) noexcept {
  const exclusively during;
  const struct sigaction now = wanted.of(signal);
  if (is_handler(now) && (now.sa_flags & static_cast<int>(SA_RESETHAND)) != 0)
    wanted.of(signal).sa_flags &= ~SA_SIGINFO, wanted.of(signal).sa_handler = SIG_DFL;
  return now;
}

// Hands a fault that is not ours to the program.
void forward(int signal, siginfo_t* info, void* context) {
  const struct sigaction program = take(signal);
  if ((program.sa_flags & SA_SIGINFO) != 0) return program.sa_sigaction(signal, info, context);
  if (is_handler(program)) return program.sa_handler(signal);
  if (program.sa_handler == SIG_IGN && info->si_code <= 0) return;
  // A fault cannot be ignored: the kernel kills. Returning makes the instruction fault again, with the
  // default action, so the core shows the real place. A signal sent by kill() is raised again.
  set_default(signal);
  if (info->si_code <= 0) ::raise(signal);
}

const void* stack_pointer(const void* context) noexcept {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(machine.gregs[REG_RSP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(machine.sp);
#else
  (void)machine;
  return nullptr;
#endif
}

void on_fault(int signal, siginfo_t* info, void* context) {
  if (info->si_code > 0 && describe_overflow != nullptr &&
      describe_overflow(info->si_addr, stack_pointer(context)))
    end_process();
  forward(signal, info, context);
}

// Ours, with what the program's asks the kernel for.
int put_in_front(int signal, const struct sigaction& program, struct sigaction* before) noexcept {
  struct sigaction ours = program;
  const int defers = is_handler(program) ? program.sa_flags & SA_NODEFER : SA_NODEFER;
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | defers | (program.sa_flags & SA_RESTART);
  if (!is_handler(program)) sigemptyset(&ours.sa_mask);
  return sys::real.sigaction(signal, &ours, before);
}

}  // namespace

void end_process() noexcept {
  set_default(SIGABRT);
  std::abort();
}

void install_overflow_handler() noexcept {
  const exclusively during;
  if (installed.load(std::memory_order_relaxed)) return;
  for (const int signal : {SIGSEGV, SIGBUS}) {
    struct sigaction& program = wanted.of(signal);
    sys::real.sigaction(signal, nullptr, &program);
    put_in_front(signal, program, nullptr);
  }
  installed.store(true, std::memory_order_release);
}

int exchange_action(int signal, const struct sigaction* now, struct sigaction* before) noexcept {
  if ((signal != SIGSEGV && signal != SIGBUS) || !installed.load(std::memory_order_acquire))
    return sys::real.sigaction(signal, now, before);
  const exclusively during;
  const struct sigaction was = wanted.of(signal);
  if (now != nullptr) {
    if (const int r = put_in_front(signal, *now, nullptr); r != 0) return r;
    wanted.of(signal) = *now;
    wanted.of(signal).sa_flags |= restorer;
  }
  if (before != nullptr) *before = was;
  return 0;
}

int exchange_alternate_stack(const stack_t* now, stack_t* before) noexcept {
  return of_thread != nullptr ? of_thread->exchange(now, before) : sys::real.sigaltstack(now, before);
}

alternate_stack::alternate_stack() noexcept {
  of_thread = this;
  stack_t now;
  if (sys::real.sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0) install();
}

void alternate_stack::install() noexcept {
  if (memory_ == nullptr) {
    void* memory = ::mmap(nullptr, alternate_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;  // an overflow then kills the process without a message
    memory_ = memory;
  }
  stack_t ours = {};
  ours.ss_sp = memory_;
  ours.ss_size = alternate_size;
  sys::real.sigaltstack(&ours, nullptr);
}

int alternate_stack::exchange(const stack_t* now, stack_t* before) noexcept {
  stack_t was;
  if (const int r = sys::real.sigaltstack(nullptr, &was); r != 0) return r;
  const bool is_ours = memory_ != nullptr && was.ss_sp == memory_;
  const bool takes_away = now != nullptr && now->ss_flags == SS_DISABLE;
  if (now != nullptr && !(takes_away && is_ours)) {
    if (const int r = sys::real.sigaltstack(now, nullptr); r != 0) return r;
    if (takes_away) install();
  }
  if (before == nullptr) return 0;
  *before = was;
  if (!is_ours) return 0;
  *before = {};
  before->ss_flags = SS_DISABLE;
  return 0;
}

alternate_stack::~alternate_stack() {
  of_thread = nullptr;
  if (memory_ == nullptr) return;
  stack_t now;
  if (sys::real.sigaltstack(nullptr, &now) != 0) return;
  if (now.ss_sp == memory_) {
    stack_t off = {};
    off.ss_flags = SS_DISABLE;
    if (sys::real.sigaltstack(&off, nullptr) != 0) return;  // in a handler on it
  }
  ::munmap(memory_, alternate_size);
}

}  // namespace coir::context

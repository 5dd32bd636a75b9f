#include "context/overflow.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <atomic>
#include <cstdlib>

namespace coir::context {

bool (*describe_overflow)(const void* address, const void* sp) noexcept = nullptr;

namespace {

constexpr std::size_t alternate_size = 64 * 1024;

struct sigaction previous_segv;
struct sigaction previous_bus;

// Hands a fault that is not ours to whoever handled it before us.
void forward(int signal, siginfo_t* info, void* context) noexcept {
  const struct sigaction& before = signal == SIGBUS ? previous_bus : previous_segv;
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
    // A fault cannot be ignored: the kernel kills. Returning makes the instruction fault again, with the
    // default action, so the core shows the real place. A signal sent by kill() is raised again.
    ::sigaction(signal, &before, nullptr);
    if (info->si_code <= 0) ::raise(signal);
  } else {
    before.sa_handler(signal);
  }
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

}  // namespace

void end_process() noexcept {
  struct sigaction fallback = {};
  fallback.sa_handler = SIG_DFL;
  ::sigaction(SIGABRT, &fallback, nullptr);
  std::abort();
}

void install_overflow_handler() noexcept {
  static std::atomic<bool> installed{false};
  if (installed.exchange(true)) return;
  struct sigaction ours = {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&ours.sa_mask);
  ::sigaction(SIGSEGV, &ours, &previous_segv);
  ::sigaction(SIGBUS, &ours, &previous_bus);
}

alternate_stack::alternate_stack() noexcept {
  stack_t now;
  if (::sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
  void* memory = ::mmap(nullptr, alternate_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;  // an overflow then kills the process without a message
  stack_t ours = {};
  ours.ss_sp = memory;
  ours.ss_size = alternate_size;
  if (::sigaltstack(&ours, nullptr) == 0)
    memory_ = memory;
  else
    ::munmap(memory, alternate_size);
}

alternate_stack::~alternate_stack() {
  if (memory_ == nullptr) return;
  stack_t now;
  if (::sigaltstack(nullptr, &now) == 0 && now.ss_sp == memory_) {
    stack_t off = {};
    off.ss_flags = SS_DISABLE;
    ::sigaltstack(&off, nullptr);
    ::munmap(memory_, alternate_size);
  }
}

}  // namespace coir::context

// How: Syscall User Dispatch (prctl(2), Linux 5.11) turns each system call of the thread that is not made by
// coir's own code into a SIGSYS. The handler looks at it, reports it if a fiber would wait in it, and makes
// it.
//
// I1: `selector` says block while the program runs, but for the one instruction of a call that cannot be made
//     in a handler; the trap flag brings the next instruction back here (SIGTRAP), which says block again.
// I2: these handlers return by `coir_audit_return`, which lies in coir's own code: another signal frame's
//     return would itself be dispatched.
#include "posix/audit.hpp"

#include <unistd.h>

#include "base/check.hpp"
#include "base/signal_bits.hpp"

#if defined(__x86_64__)

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include <cstring>

#include "posix/descriptor.hpp"
#include "posix/peek.hpp"
#include "posix/waiting_call.hpp"
#include "sys/categories.hpp"
#include "sys/raw.hpp"
#include "wait/describe.hpp"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

extern "C" void coir_audit_return();
__asm__(
    ".pushsection .text\n"
    ".hidden coir_audit_return\n"
    ".globl coir_audit_return\n"
    ".type coir_audit_return, @function\n"
    "nop\n"  // the byte before is where an unwinder looks, and is not to be of another function
    "coir_audit_return:\n\t"
    "movq $15, %rax\n\t"  // rt_sigreturn
    "syscall\n"
    ".size coir_audit_return, . - coir_audit_return\n"
    ".popsection\n");

namespace coir::posix {
namespace {

constexpr char allow = 0, block = 1;  // SYSCALL_DISPATCH_FILTER_…
constexpr long long trap_flag = 0x100;

thread_local char selector __attribute__((tls_model("initial-exec"))) = allow;

// This object's code: [begin, end).
std::uintptr_t own_begin = 0, own_end = 0;
const void* libc = nullptr;

[[noreturn]] void give_up(const char* why) noexcept {
  base::text_out(2).text("coir: COIR_AUDIT: ").text(why).text("\n");
  sys::raw(SYS_exit_group, 2);
  __builtin_unreachable();
}

int find_own_code(dl_phdr_info* object, std::size_t, void*) {
  const auto here = reinterpret_cast<std::uintptr_t>(&coir_audit_return);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0 || here < begin || here >= begin + part.p_memsz)
      continue;
    own_begin = begin;
    own_end = begin + part.p_memsz;
    return 1;
  }
  return 0;
}

// --- reports, once per site ---

constexpr int deepest = 24;
constexpr int handler_frames = 2;  // the handler's own, and the signal frame

// The sites seen, by a hash of the call and who made it. Full: further ones are reported each time.
class site_set {
 public:
  // False: it is in already.
  bool add(std::uint64_t site) noexcept {
    for (std::atomic<std::uint64_t>& place : places_) {
      std::uint64_t seen = 0;
      if (place.compare_exchange_strong(seen, site, std::memory_order_relaxed)) return true;
      if (seen == site) return false;
    }
    return true;
  }

 private:
  std::atomic<std::uint64_t> places_[1024] = {};
};
site_set sites;

// libc's own locks (of malloc, of the list of streams), and what a condition variable has of them, are held
// for no longer than its code runs.
bool waits_for_libc_alone(void* address) noexcept {
  Dl_info where = {};
  if (::dladdr(address, &where) == 0 || where.dli_sname == nullptr) return false;
  for (const char* name :
       {"__lll_lock_wait_private", "pthread_cond_signal", "pthread_cond_broadcast", "pthread_cond_destroy"})
    if (std::strcmp(where.dli_sname, name) == 0) return where.dli_fbase == libc;
  return false;
}

// A line of a stack: file, an address in it as addr2line takes it (of the call, not of where it returns to),
// name.
void print_frame(base::text_out& out, const char* address) noexcept {
  Dl_info where = {};
  link_map* object = nullptr;
  ::dladdr1(address, &where, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP);
  const auto bias = object != nullptr ? object->l_addr : 0;
  out.text("    ").text(where.dli_fname != nullptr ? where.dli_fname : "?").text(" ");
  out.text("0x").number(reinterpret_cast<std::uintptr_t>(address) - bias, 16);
  if (where.dli_sname != nullptr)
    out.text(" ")
        .text(where.dli_sname)
        .text("+0x")
        .number(static_cast<std::uint64_t>(address - static_cast<const char*>(where.dli_saddr)), 16);
  out.text("\n");
}

void report(const char* name, const sched::fiber& f) noexcept {
  void* frames[deepest];
  const int count = ::backtrace(frames, deepest);
  for (int i = handler_frames; i < count && i < handler_frames + 3; ++i)
    if (waits_for_libc_alone(frames[i])) return;
  std::uint64_t site = reinterpret_cast<std::uintptr_t>(name);
  for (int i = handler_frames; i < count && i < handler_frames + 8; ++i)
    site = (site ^ reinterpret_cast<std::uintptr_t>(frames[i])) * 0x100000001b3;  // FNV-1a
  if (!sites.add(site | 1)) return;
  base::text_out out(2);
  out.text("coir: audit: ").text(name).text(" makes the thread wait, outside the patch, for ");
  sched::describe(out, f);
  for (int i = handler_frames; i < count; ++i) print_frame(out, static_cast<const char*>(frames[i]) - 1);
}

// --- the calls ---

// Cannot be made in a handler, which they would leave or return in twice.
bool leaves_handler(long number, const long* a) noexcept {
  switch (number) {
    case SYS_rt_sigreturn:
    case SYS_vfork:
    case SYS_clone3:
      return true;
    case SYS_clone:
      return (a[0] & CLONE_VM) != 0;
    default:
      return false;
  }
}

// The mask that is in force after the handler is that of its frame.
long change_mask(ucontext_t& context, const long* a) noexcept {
  auto& mask = *reinterpret_cast<std::uint64_t*>(&context.uc_sigmask);
  if (a[3] != sizeof mask) return -EINVAL;
  const std::uint64_t before = mask;
  std::uint64_t wanted = 0;
  if (a[1] != 0) {
    if (!peek(a[1], wanted)) return -EFAULT;
    wanted &= ~sched::never_blocked;
    switch (a[0]) {
      case SIG_BLOCK:
        mask |= wanted;
        break;
      case SIG_UNBLOCK:
        mask &= ~wanted;
        break;
      case SIG_SETMASK:
        mask = wanted;
        break;
      default:
        return -EINVAL;
    }
  }
  return a[2] == 0 || poke(a[2], before) ? 0 : -EFAULT;
}

void on_call(int, siginfo_t* info, void* where) noexcept {
  ucontext_t& context = *static_cast<ucontext_t*>(where);
  greg_t* r = context.uc_mcontext.gregs;
  selector = allow;
  const long number = info->si_syscall;
  const long a[] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
  const scheduler* s = scheduler::existing();
  if (s != nullptr && detail::cooperative != 0 && detail::patch_off != sys::all_categories) {
    if (const char* name = waiting_call(number, a)) report(name, *const_cast<scheduler*>(s)->current());
  }
  if (leaves_handler(number, a)) {
    // Once more, and then back here: after a return from a handler into what that had interrupted.
    constexpr int size_of_syscall = 2;
    greg_t* flags = r;
    if (number == SYS_rt_sigreturn) flags = reinterpret_cast<ucontext_t*>(r[REG_RSP])->uc_mcontext.gregs;
    flags[REG_EFL] |= trap_flag;
    r[REG_RIP] -= size_of_syscall;
    r[REG_RAX] = number;
    return;
  }
  r[REG_RAX] = number == SYS_rt_sigprocmask ? change_mask(context, a)
                                            : sys::raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  selector = block;
}

void on_trap(int, siginfo_t*, void* where) noexcept {
  static_cast<ucontext_t*>(where)->uc_mcontext.gregs[REG_EFL] &= ~trap_flag;
  selector = block;
}

// libc's sigaction would make the handler return by libc's code.
void install(int signal, void (*handler)(int, siginfo_t*, void*) noexcept) noexcept {
  struct {
    void (*handler)(int, siginfo_t*, void*) noexcept;
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
  } const action = {handler, SA_SIGINFO | SA_NODEFER | 0x04000000UL /* SA_RESTORER */, coir_audit_return, 0};
  sys::raw(SYS_rt_sigaction, signal, sys::word(&action), 0, sizeof action.mask);
}

void audit_thread() noexcept {
  const long r = sys::raw(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1 /* on */, static_cast<long>(own_begin),
                          static_cast<long>(own_end - own_begin), sys::word(&selector));
  if (r != 0) give_up("this kernel has no Syscall User Dispatch");
  selector = block;
}

bool runs = false;

}  // namespace

bool audits_by(int signal) noexcept {
  return runs && (signal == SIGSYS || signal == SIGTRAP);
}

void start_audit() noexcept {
  ::dl_iterate_phdr(find_own_code, nullptr);
  Dl_info other = {}, own = {};
  ::dladdr(reinterpret_cast<void*>(&::getppid), &other);
  libc = other.dli_fbase;
  ::dladdr(reinterpret_cast<void*>(&coir_audit_return), &own);
  if (own_begin == 0 || libc == nullptr || libc == own.dli_fbase) give_up("needs libc as a shared library");
  void* frames[1];
  ::backtrace(frames, 1);  // loads what it needs, which a handler must not
  install(SIGSYS, on_call);
  install(SIGTRAP, on_trap);
  runs = true;
  sched::never_blocked |= base::bit(SIGSYS) | base::bit(SIGTRAP);
  sched::thread_begins = audit_thread;
  ::pthread_atfork(nullptr, nullptr, [] {
    if (scheduler::existing() != nullptr) audit_thread();  // the kernel ends it with the parent's thread
  });
}

}  // namespace coir::posix

#else

namespace coir::posix {

bool audits_by(int) noexcept {
  return false;
}

void start_audit() noexcept {
  base::write_text(2, "coir: COIR_AUDIT: not for this kind of processor\n");
  ::_exit(2);
}

}  // namespace coir::posix

#endif

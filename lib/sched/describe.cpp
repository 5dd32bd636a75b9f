#include "sched/describe.hpp"

#include <dlfcn.h>

#include "context/overflow.hpp"
#include "sched/scheduler.hpp"

namespace coir::sched {
namespace {

void describe_current(int fd) noexcept {
  scheduler* s = scheduler::existing();
  if (s == nullptr) return;
  base::write_text(fd, "coir: running: ");
  describe(fd, *s->own_current());
}

void describe_overflow_of(const fiber& f, const char* sp) noexcept {
  base::text_out out(2);
  out.text("coir: stack overflow in fiber #").number(f.id).text(" \"").text(f.display_name());
  out.text("\": its stack of ").number(f.stack.size).text(" bytes is used up");
  if (sp < f.stack.low)
    out.text(", its calls need at least ")
        .number(static_cast<std::uint64_t>(f.stack.low - sp))
        .text(" bytes more");
  out.text("; spawned at ");
  describe_site(out, f.spawn_site);
  out.text(
      "; give it more by coir::attributes{.stack_size = ...}, or all fibers by COIR_STACK_SIZE=1M or "
      "coir::set_default_stack_size (docs/stacks.md)\n");
}

// The guard is hit by small frames, and by larger ones that a compiler makes touch every page. What steps
// over it is in no stack of its own, and hits another's guard or none at all.
bool overflow(const void* address, const void* stack_pointer) noexcept {
  scheduler* s = scheduler::existing();
  if (s == nullptr || s->own_current()->has(is_main)) return false;
  const fiber& f = *s->own_current();
  const char* at = static_cast<const char*>(address);
  const char* sp = static_cast<const char*>(stack_pointer);
  const bool own_guard = at < f.stack.low && at >= f.stack.low - context::guard_size(f.stack.size);
  const bool beyond = at < f.stack.low && sp < f.stack.low && context::among_stacks(sp);
  if (!own_guard && !beyond) return false;
  describe_overflow_of(f, sp);
  return true;
}

}  // namespace

void check_deep_stack(const fiber& f, const void* stack_pointer) noexcept {
  const char* sp = static_cast<const char*>(stack_pointer);
  if (f.has(is_main) || (sp >= f.stack.low && sp < f.stack.top()) || !context::among_stacks(sp)) return;
  describe_overflow_of(f, sp);
  context::end_process();
}

void install_descriptions() noexcept {
  base::describe_current_fiber = describe_current;
  context::describe_overflow = overflow;
}

void describe_site(base::text_out& out, const void* address) {
  Dl_info where = {};
  if (::dladdr(address, &where) == 0 || where.dli_fname == nullptr) {
    out.hex(address);
    return;
  }
  const auto offset = [&](const void* from) {
    return static_cast<std::uint64_t>(static_cast<const char*>(address) - static_cast<const char*>(from));
  };
  out.text(where.dli_fname);
  if (where.dli_sname != nullptr)
    out.text("(").text(where.dli_sname).text("+0x").number(offset(where.dli_saddr), 16).text(")");
  out.text(" at 0x").number(offset(where.dli_fbase), 16);
}

void describe(base::text_out& out, const fiber& f) {
  out.text("fiber #").number(f.id).text(" \"").text(f.display_name()).text("\" ");
  switch (f.state.load(std::memory_order_relaxed)) {
    case fiber_state::parked:
      out.text("parked in ").text(f.park_reason != nullptr ? f.park_reason : "?");
      break;
    case fiber_state::done:
      out.text("done");
      break;
    case fiber_state::running:  // a guest's; what it does outside coir is the guest's to know
      out.text("not waiting in coir");
      break;
    default:
      out.text(f.home->own_current() == &f ? "running" : "ready");
  }
  if (f.spawn_site != nullptr) {
    out.text(", spawned at ");
    describe_site(out, f.spawn_site);
  }
  out.text("\n");
}

}  // namespace coir::sched

#if defined(__x86_64__)
// Aligned, whatever the caller's stack pointer is. What the caller's is does not matter to the byte.
__asm__(
    ".text\n"
    ".globl coir_check_deep_stack\n"
    ".type coir_check_deep_stack, @function\n"
    ".p2align 4\n"
    "coir_check_deep_stack:\n"
    "  pushq %rbp\n"
    "  movq %rsp, %rbp\n"
    "  pushq %rax\n"
    "  pushq %rcx\n"
    "  pushq %rdx\n"
    "  pushq %rsi\n"
    "  pushq %rdi\n"
    "  pushq %r8\n"
    "  pushq %r9\n"
    "  pushq %r10\n"
    "  pushq %r11\n"
    "  leaq 144(%rbp), %rdi\n"  // before the call: its return address, rbp, and 128 bytes
    "  andq $-16, %rsp\n"
    "  call coir_check_running_stack\n"
    "  leaq -72(%rbp), %rsp\n"
    "  popq %r11\n"
    "  popq %r10\n"
    "  popq %r9\n"
    "  popq %r8\n"
    "  popq %rdi\n"
    "  popq %rsi\n"
    "  popq %rdx\n"
    "  popq %rcx\n"
    "  popq %rax\n"
    "  popq %rbp\n"
    "  ret\n"
    ".size coir_check_deep_stack, .-coir_check_deep_stack\n");

extern "C" __attribute__((visibility("hidden"), used)) void coir_check_running_stack(
    const void* sp) noexcept {
  coir::detail::check_deep_stack(coir::detail::running->fiber, sp);
}
#endif

void coir::detail::check_deep_stack(const fiber_base* f, const void* sp) noexcept {
  sched::check_deep_stack(*sched::record(f), sp);
}

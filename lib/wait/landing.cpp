#include "wait/landing.hpp"

#include <pthread.h>
#include <signal.h>
#include <unwind.h>

#include <atomic>
#include <cstdlib>

#include "base/check.hpp"
#include "base/raw.hpp"
#include "base/signal_bits.hpp"
#include "wait/interrupt.hpp"

// The first steps of coir's own waits: they return into the middle of a switch.
extern "C" __attribute__((visibility("hidden"), weak)) const char __start_coir_first_steps[],
    __stop_coir_first_steps[];

namespace coir::wait {
namespace {

// One jump of a fiber. Only the fiber's thread touches it, once it has taken it.
struct pending {
  std::atomic<sched::scheduler*> taken{nullptr};
  jump what;
  bool lies_in_wait = false;

  void give_up() noexcept {
    what = {};
    lies_in_wait = false;
    taken.store(nullptr, std::memory_order_release);
  }
};

constinit pending jumps[32];

constexpr int most_ranges = 4;
code_range ranges[most_ranges];
int range_count = 0;

bool is_coirs(std::uintptr_t at) noexcept {
  for (int i = 0; i < range_count; ++i)
    if (ranges[i].holds(at)) return true;
  return false;
}

bool is_first_step(std::uintptr_t at) noexcept {
  return at - reinterpret_cast<std::uintptr_t>(__start_coir_first_steps) <
         static_cast<std::uintptr_t>(__stop_coir_first_steps - __start_coir_first_steps);
}

pending* jump_of(const sched::fiber* f) noexcept {
  for (pending& p : jumps)
    if (p.taken.load(std::memory_order_relaxed) == f->home && p.what.of == f && p.what.id == f->id) return &p;
  return nullptr;
}

pending* take(sched::scheduler* home) noexcept {
  for (pending& p : jumps) {
    sched::scheduler* nobody = nullptr;
    if (p.taken.compare_exchange_strong(nobody, home, std::memory_order_acquire)) return &p;
  }
  return nullptr;
}

// What may run in the middle of a switch, of which ASan has not heard yet: a fake stack that it made there
// would be lost.
#define COIR_IN_A_SWITCH __attribute__((no_sanitize("address")))

// A walk from here to the frame that is jumped to.
struct walk {
  std::uintptr_t end;   // the stack pointer there
  int handlers = 0;     // signal frames still to pass
  bool inside = false;  // a frame of coir's was met
  bool first_step = false;
  bool more_inside = false;  // and another one beyond somebody else's
  void** returns = nullptr;  // where the outermost of the first ones keeps what it returns to
};

COIR_IN_A_SWITCH _Unwind_Reason_Code step(_Unwind_Context* frame, void* argument) {
  walk& w = *static_cast<walk*>(argument);
  int interrupted = 0;
  const std::uintptr_t at = _Unwind_GetIPInfo(frame, &interrupted);
  if (w.handlers != 0) {
    if (interrupted == 0 || --w.handlers != 0) return _URC_NO_REASON;
  } else if (interrupted != 0) {
    return _URC_NORMAL_STOP;  // somebody else's handler
  }
  const std::uintptr_t stack = _Unwind_GetCFA(frame);
  const std::uintptr_t code = interrupted != 0 ? at : at - 1;
  if (is_coirs(code)) {
    (w.returns != nullptr ? w.more_inside : w.inside) = true;
    if (w.returns == nullptr) w.first_step = is_first_step(code);
  } else if (w.inside && w.returns == nullptr) {
    auto* slot = reinterpret_cast<void**>(stack) - 1;
    if (reinterpret_cast<std::uintptr_t>(*slot) != at) return _URC_NORMAL_STOP;
    w.returns = slot;
  }
  return stack < w.end ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

COIR_IN_A_SWITCH walk look(const char* to, int handlers) noexcept {
  walk w = {.end = reinterpret_cast<std::uintptr_t>(to), .handlers = handlers};
  _Unwind_Backtrace(step, &w);
  return w;
}

bool can_return_elsewhere(const walk& w) noexcept {
  return w.returns != nullptr && !w.first_step && !w.more_inside;
}

#ifdef COIR_INLINE_SWITCH
extern "C" void coir_land();

extern "C" __attribute__((visibility("hidden"), noreturn, used)) void coir_make_jump() noexcept {
  sched::fiber* self = sched::scheduler::existing()->current();
  pending* p = jump_of(self);
  COIR_CHECK(p != nullptr);
  // A handler that is left by another jump meanwhile would have that forgotten.
  const std::uint64_t all = ~sched::never_blocked;
  std::uint64_t before = 0;
  base::raw(SYS_rt_sigprocmask, SIG_BLOCK, base::word(&all), base::word(&before), sizeof all);
  const jump j = p->what;
  self->interrupts = static_cast<std::uint8_t>(self->interrupts & ~jumping);
  refresh(*self);
  p->give_up();
  base::raw(SYS_rt_sigprocmask, SIG_SETMASK, base::word(&before), 0, sizeof before);
  j.make(j);
  __builtin_unreachable();
}

// Entered by a return into its caller's frame, which is left for good.
__asm__(
    ".text\n"
    ".globl coir_land\n"
    ".hidden coir_land\n"
    ".type coir_land, @function\n"
    "coir_land:\n"
    "  .cfi_startproc\n"
    "  .cfi_undefined rip\n"
    "  andq $-16, %rsp\n"
    "  call coir_make_jump\n"
    "  ud2\n"
    "  .cfi_endproc\n"
    ".size coir_land, .-coir_land\n");

void lie_in_wait(pending& p, const walk& w) noexcept {
  *w.returns = reinterpret_cast<void*>(&coir_land);
  p.lies_in_wait = true;
}

// On the stack of the fiber that is to jump, which is in a call.
COIR_IN_A_SWITCH void lie_in_wait_here() noexcept {
  sched::fiber* self = sched::scheduler::existing()->current();
  pending* p = jump_of(self);
  if (p == nullptr || p->lies_in_wait) return;
  const walk w = look(stack_pointer_of(p->what.to), 0);
  if (!can_return_elsewhere(w)) refuse_jump(*self);
  lie_in_wait(*p, w);
}

void lie_in_wait(sched::fiber& f) noexcept {
  if (&f == f.home->own_current())
    lie_in_wait_here();
  else
    f.context = context::divert(f.context, lie_in_wait_here);
}
#else
void lie_in_wait(pending&, const walk&) noexcept {}
void lie_in_wait(sched::fiber& f) noexcept {
  refuse_jump(f);
}
#endif

// Whether it is still there: a fiber that went on after the handler may have ended.
bool lives(sched::scheduler& s, const jump& j) noexcept {
  if (j.of == &s.main()) return true;
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next)
    if (sched::fiber_of(n) == j.of) return j.of->id == j.id;
  return false;
}

void end_wait_of(sched::fiber& f) noexcept {
  waiter* w = f.waiting;
  if (w == nullptr) return;
  if (w->ended_by != ending_handlers::none) {
    if (w->claim(outcome::signalled)) w->wake();
  } else if (!w->heeds_handlers_only || w->may_be_left) {
    if (w->claim(outcome::interrupted)) w->wake();
  } else if (!w->ends_soon && w->result.load(std::memory_order_acquire) == outcome::none) {
    refuse_jump(f);
  }
}

const bool code_noted = (note_code(own_code()), true);

}  // namespace

const char* stack_pointer_of([[maybe_unused]] const __jmp_buf_tag* to) noexcept {
#ifdef COIR_INLINE_SWITCH
  // libc's PTR_MANGLE, undone.
  constexpr int rsp = 6;
  auto word = static_cast<std::uintptr_t>(to->__jmpbuf[rsp]);
  __asm__("rorq $0x11, %0\n\txorq %%fs:0x30, %0" : "+r"(word) : : "cc");
  return reinterpret_cast<const char*>(word);
#else
  return nullptr;
#endif
}

sched::fiber* whose_stack(sched::scheduler& s, const char* at) noexcept {
  if (s.live() == 0) return &s.main();
  if (at == nullptr) return nullptr;
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next) {
    sched::fiber* f = sched::fiber_of(n);
    if (at >= f->stack.low && at <= reinterpret_cast<char*>(f)) return f;
  }
  return &s.main();
}

void note_code(code_range code) noexcept {
  if (code.end != code.begin && range_count < most_ranges) ranges[range_count++] = code;
}

bool can_land() noexcept {
#ifdef COIR_INLINE_SWITCH
  return range_count >= 2;  // this library's, and that of the patch
#else
  return false;
#endif
}

bool leaves_coir(const char* to, int handlers, bool lies_in_wait) noexcept {
  if (!can_land()) return false;
  pending* p = jump_of(sched::scheduler::existing()->own_current());
  if (p != nullptr && p->lies_in_wait) return true;
  const walk w = look(to, handlers);
  if (lies_in_wait && p != nullptr && can_return_elsewhere(w)) lie_in_wait(*p, w);
  return w.inside;
}

void note(const jump& j) noexcept {
  pending* p = jump_of(j.of);
  if (p == nullptr) p = take(j.of->home);
  if (p == nullptr) refuse_jump(*j.of);
  p->what = j;
  p->what.id = j.of->id;
}

void deliver_jumps(sched::scheduler& s) noexcept {
  for (pending& p : jumps) {
    if (p.taken.load(std::memory_order_relaxed) != &s) continue;
    if (!lives(s, p.what)) {
      p.give_up();
      continue;
    }
    sched::fiber& f = *p.what.of;
    if ((f.interrupts & jumping) != 0) continue;  // delivered
    if (!p.lies_in_wait) lie_in_wait(f);
    f.interrupts = static_cast<std::uint8_t>(f.interrupts | jumping);
    refresh(f);
    end_wait_of(f);
  }
}

void forget_jumps(const sched::fiber& but) noexcept {
  for (pending& p : jumps)
    if (p.what.of != &but || p.what.id != but.id) p.give_up();
}

namespace {
constinit thread_local direct_call* innermost_direct __attribute__((tls_model("initial-exec"))) = nullptr;
}  // namespace

direct_call::direct_call(sched::scheduler& s, bool may_last) noexcept
    : s_(s), patch_off_depth_(s.own_current()->patch_off_depth), may_last_(may_last) {
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state_);
  s.switch_patch_off(1);
  innermost_direct = this;
}

direct_call::~direct_call() {
  innermost_direct = nullptr;
  s_.switch_patch_off(-1);
  ::pthread_setcancelstate(cancel_state_, nullptr);
}

bool direct_call::can_be_left(const char* to) noexcept {
  const direct_call* c = innermost_direct;
  return c != nullptr && c->may_last_ && to > reinterpret_cast<const char*>(c);
}

void direct_call::left(const char* to) noexcept {
  const direct_call* c = innermost_direct;
  if (c == nullptr || (to != nullptr && to <= reinterpret_cast<const char*>(c))) return;
  innermost_direct = nullptr;
  const std::uint32_t now = c->s_.own_current()->patch_off_depth;
  c->s_.switch_patch_off(static_cast<int>(c->patch_off_depth_ - now));
  ::pthread_setcancelstate(c->cancel_state_, nullptr);
}

void refuse_jump(const sched::fiber& f) noexcept {
  base::text_out out(2);
  out.text("coir: a signal handler was left by longjmp, to fiber #")
      .number(f.id)
      .text(" \"")
      .text(f.display_name());
  out.text("\", which cannot be made to leave ").text(f.park_reason != nullptr ? f.park_reason : "its call");
  out.text("\n");
  std::abort();
}

}  // namespace coir::wait

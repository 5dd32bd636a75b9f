// What a fiber's record has in common with its public handle. Internal: use coir::fiber<T>.
//
// The record lies at the top of the fiber's own stack, so that a parked fiber touches one page, and its
// payload (result, then callable) right below it: docs/adr/0001-record-on-stack.md. A handle therefore keeps
// the stack.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

#include "coir/attributes.hpp"
#include "coir/detail/threads.hpp"

namespace coir::base {
struct inbox_node;
}
namespace coir::sched {
class scheduler;
}
namespace coir::wait {
struct waiter;
}

namespace coir::detail {

// `due` is ready, and was made so by time or I/O.
enum class fiber_state : std::uint8_t { ready, running, parked, done, due };

// What fiber_base::run is asked to do with the payload.
enum class payload_step : std::uint8_t {
  call,     // run the callable, store the result, destroy the callable
  discard,  // only destroy the callable
  dispose,  // destroy the result
};

enum fiber_flag : std::uint8_t {
  is_main = 1,     // a thread's own stack
  has_result = 2,  // `dispose` has something to do
  has_extras = 8,  // a name: there is something to free
  own_stack_size = 16,
  carries_flow = 32,  // something of the thread is this fiber's own while it runs: see scheduler::carry
};

// Of nearly all stacks, in bytes; others cost a spawn some nanoseconds.
inline constexpr std::size_t usual_stack_size = 256 * 1024;

// The upper bits of fiber_base::refs, which any thread sets, while fiber_flag is the fiber's own.
enum ref_mark : std::uint32_t {
  ended = 1U << 31,           // for all who hold handles; what it does after that is its own affair
  linked = 1U << 30,          // there is a list of links, perhaps empty
  error_observed = 1U << 29,  // some handle rethrew or looked at the exception
  all_marks = ended | linked | error_observed,
};

// A record that was recycled by the same thread is reused as it is: all that is not set by spawn is back to
// these values by then (scheduler::recycle), so that a spawn writes two cache lines and not four.
struct alignas(64) fiber_base {
  std::atomic<std::uint32_t> refs{2};  // handles + 1 until it has left its stack; and ref_mark
  std::atomic<fiber_state> state{fiber_state::ready};
  std::uint8_t pending = 0;     // interrupts it must hear of now; see lib/wait/interrupt.hpp
  std::uint8_t flags = 0;       // fiber_flag
  std::uint8_t interrupts = 0;  // all that is pending, shielded or not
  void* context = nullptr;      // saved stack pointer while not running
  sched::scheduler* home = nullptr;
  wait::waiter* waiting = nullptr;    // the wait it is parked in, or null
  const char* park_reason = nullptr;  // why it is parked: a literal
  void* eh_caught = nullptr;          // __cxa_eh_globals while not running: exceptions being handled
  unsigned eh_uncaught = 0;           // … and being thrown
  int saved_errno = 0;
  void (*run)(fiber_base* self, payload_step step) = nullptr;
  // 64 bytes: all that switches, parking and waking touch
  const void* spawn_site = nullptr;  // address of the call of spawn
  std::exception_ptr error;          // what left the callable

  bool done() const noexcept {
    return marked(ended);  // pairs with the release in mark
  }
  bool marked(ref_mark m) const noexcept { return (refs.load(std::memory_order_acquire) & m) != 0; }
  bool only_reference() const noexcept { return (refs.load(std::memory_order_acquire) & ~all_marks) == 1; }
  void mark(ref_mark m) noexcept {
    if (single_threaded())
      refs.store(refs.load(std::memory_order_relaxed) | m, std::memory_order_relaxed);
    else
      refs.fetch_or(m, std::memory_order_acq_rel);
  }
};

inline constexpr std::size_t largest_payload = 4096;

// The part of a payload that ends `offset` bytes below the record.
template <class T>
T* below(fiber_base* f, std::size_t offset) noexcept {
  return reinterpret_cast<T*>(reinterpret_cast<char*>(f) - offset);
}

// Reserves a fiber with `payload_size` bytes below its record (a multiple of 16, at most largest_payload). It
// does not run yet. Throws as coir::spawn.
fiber_base* create_fiber(const attributes* how, std::size_t payload_size,
                         void (*run)(fiber_base*, payload_step));
// The same, and queued already: for payloads whose construction can neither fail nor wait.
fiber_base* create_started_fiber(const attributes* how, std::size_t payload_size,
                                 void (*run)(fiber_base*, payload_step));
// Queues a created fiber on this thread. The fiber holds one reference, the caller another.
void start_fiber(fiber_base* f) noexcept;
// Gives back a created fiber whose payload could not be constructed.
void abandon_fiber(fiber_base* f) noexcept;

bool join_fiber_until(fiber_base* f, std::int64_t deadline_ns);
void cancel_fiber(fiber_base* f) noexcept;
void raise_in_fiber(fiber_base* f, std::exception_ptr error);
// Frees the record and stack of an ended fiber after the last reference is gone.
void free_fiber(fiber_base* f) noexcept;
// Marks the fiber's exception as seen, so that it is not reported as lost, and rethrows it.
[[noreturn]] void rethrow_error(fiber_base* f);
void mark_observed(fiber_base* f) noexcept;
std::uint64_t fiber_id(const fiber_base* f) noexcept;
const char* fiber_name(const fiber_base* f) noexcept;

inline void retain(fiber_base* f) noexcept {
  if (single_threaded())
    f->refs.store(f->refs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  else
    f->refs.fetch_add(1, std::memory_order_relaxed);
}

inline void release(fiber_base* f) noexcept {
  if (single_threaded()) {
    const std::uint32_t left = f->refs.load(std::memory_order_relaxed) - 1;
    f->refs.store(left, std::memory_order_relaxed);
    if ((left & ~all_marks) == 0) free_fiber(f);
    return;
  }
  // acq_rel: the last release sees all that other holders wrote.
  if ((f->refs.fetch_sub(1, std::memory_order_acq_rel) & ~all_marks) == 1) free_fiber(f);
}

// The fibers of the calling thread other than its main one that have not ended, plus reasons to patch always.
// Not zero: a patched call goes the cooperative way …
extern constinit thread_local std::uint32_t cooperative __attribute__((tls_model("initial-exec")));
// … unless its category (lib/sys/categories.hpp) is among these: switched off by COIR_PATCH, by the running
// fiber's scoped_off, or by a signal handler that runs.
extern constinit thread_local std::uint32_t patch_off __attribute__((tls_model("initial-exec")));

// Why calls of the calling thread that need not wait ask the library all the same whether there is something
// to hear of, one each: a timeout scope, a fiber with an interrupt pending, a handler by on_signal.
extern constinit thread_local std::uint32_t listening __attribute__((tls_model("initial-exec")));

// What inline code knows of the calling thread's scheduler.
struct running_part {
  fiber_base* fiber;
  std::uint32_t budget;  // switches, and calls that could have waited, until the library looks at the clock
  const std::atomic<base::inbox_node*>* mail;  // not null: another thread has sent something
};
// Null if the thread has no scheduler yet, or runs a guest's fibers.
extern constinit thread_local running_part* running __attribute__((tls_model("initial-exec")));

// The stack pointer of the caller; of use for comparisons only.
[[gnu::always_inline]] inline const char* stack_pointer() noexcept {
#if defined(__x86_64__)
  const char* sp;
  __asm__("movq %%rsp, %0" : "=r"(sp));
  return sp;
#else
  return static_cast<const char*>(__builtin_frame_address(0));
#endif
}

// The last part of check_stack. Ends the process, by name, if the fiber's stack pointer is in another's stack
// or guard. A stack that is none of coir's is the program's own affair: a coroutine's, or a signal handler's.
void check_deep_stack(const fiber_base* f, const void* sp) noexcept;

#if defined(__x86_64__)
// The same for the running fiber; keeps all registers but those of floating point, so that who calls it once
// in a thousand times need not save his own for it.
extern "C" void coir_check_deep_stack() noexcept;
#endif

// `f` runs: whether it has stepped over its guard. The record lies less than a page below the top of the
// stack, and nearly all stacks are of one size.
[[gnu::always_inline]] inline void check_stack(const fiber_base* f) noexcept {
  constexpr std::size_t surely_inside = usual_stack_size - 4096;
  const char* sp = stack_pointer();
  if (__builtin_expect(static_cast<std::size_t>(reinterpret_cast<const char*>(f) - sp) <= surely_inside, 1) &&
      __builtin_expect((f->flags & own_stack_size) == 0, 1))
    return;
  if ((f->flags & is_main) != 0) return;
#if defined(__x86_64__)
  // SAFETY: below the red zone; the function keeps what is not named here.
  __asm__ volatile(
      "leaq -128(%%rsp), %%rsp\n\t"
      "call *coir_check_deep_stack@GOTPCREL(%%rip)\n\t"
      "leaq 128(%%rsp), %%rsp"
      :
      :
      : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#else
  check_deep_stack(f, sp);
#endif
}

// The same for whoever runs on this thread.
[[gnu::always_inline]] inline void check_own_stack() noexcept {
  if (const running_part* r = running) check_stack(r->fiber);
}

// Spends one call. False: the library is to be asked, which looks at the clock.
inline bool spend(running_part& r) noexcept {
  if (__builtin_expect(r.budget <= 1, 0)) return false;
  --r.budget;
  return true;
}

// Whether a call that need not wait is made without asking the library if there is something to hear of.
inline bool undisturbed() noexcept {
  running_part* r = running;
  return r != nullptr && r->fiber->pending == 0 && spend(*r);
}

// The same for locks, whose fast way is the fastest there is, and the only one of a thread without fibers.
// While the process has one thread only what is counted can interrupt, and beside others what they have sent.
// Nothing is stored, for which a locked instruction would have to wait.
inline bool may_lock_at_once() noexcept {
  if (__builtin_expect(listening != 0, 0)) return false;
  if (single_threaded()) return true;
  const running_part* r = running;
  return __builtin_expect(r == nullptr || r->mail->load(std::memory_order_relaxed) == nullptr, 1);
}

// Who calls, as the owner of a lock: even, and never 0. The running fiber's record; where none of coir's runs
// (no scheduler yet, or a guest's fibers) something of the thread.
inline std::uintptr_t owner_mark() noexcept {
  const running_part* r = running;
  if (__builtin_expect(r != nullptr, 1)) return reinterpret_cast<std::uintptr_t>(r->fiber);
  return reinterpret_cast<std::uintptr_t>(&running);
}

}  // namespace coir::detail

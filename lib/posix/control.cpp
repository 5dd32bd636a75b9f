#include "posix/control.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>

#include "base/check.hpp"
#include "coir/patch.hpp"
#include "posix/audit.hpp"
#include "posix/offload.hpp"
#include "posix/signals.hpp"
#include "sys/categories.hpp"
#include "sys/real.hpp"
#include "sys/settings.hpp"

namespace coir::posix {
namespace {

bool always = false;

[[noreturn]] void give_up(const std::exception& e) noexcept {
  base::text_out(2).text(e.what()).text("\n");
  ::_exit(2);
}

void begin_always() noexcept try {
  scheduler::ensure().cooperate(scheduler::always);
} catch (const std::exception& e) {
  give_up(e);
}

template <class Result>
Result run_patched(void* p) {
  const thread_start<Result> start = *static_cast<thread_start<Result>*>(p);
  delete static_cast<thread_start<Result>*>(p);
  begin_always();
  return start.run(start.argument);
}

template <class Result>
void wrap(thread_start<Result>& start) noexcept {
  if (__builtin_expect(!always, 1) || wait::starts_worker) return;
  auto* inner = new (std::nothrow) thread_start<Result>(start);
  if (inner != nullptr) start = {run_patched<Result>, inner};
}

template <class Result>
void unwrap(const thread_start<Result>& start, const void* argument) noexcept {
  if (start.argument != argument) delete static_cast<thread_start<Result>*>(start.argument);
}

// The rest of the environment is for coir-patch to obey. But a program that lacks it by mistake gets no error
// from any call: its fibers just wait one after the other. Only the audit knows each such call from those of
// coir's own, of other threads and of programs that mean it, so that is where it is told.
__attribute__((constructor)) void audit_without_patch() noexcept try {
  if (sys::patch_present() || std::getenv("COIR_AUDIT") == nullptr || !sys::read_settings().audit) return;
  base::write_text(2,
                   "coir: audit: coir-patch is not linked: a call of libc that waits makes all fibers of its "
                   "thread wait (link coir-patch, or use coir-run)\n");
  start_audit();
} catch (const std::exception& e) {
  give_up(e);
}

}  // namespace

void obey_environment() noexcept try {
  // Without these nothing is made, and a wrong environment is told by what first uses coir.
  const char* const concerning_us[] = {"COIR_PATCH", "COIR_PATCH_ALWAYS", "COIR_AUDIT"};
  if (std::ranges::none_of(concerning_us, [](const char* name) { return std::getenv(name) != nullptr; }))
    return;
  const sys::settings& asked = sys::read_settings();
  if ((asked.patch_off & static_cast<std::uint32_t>(sys::category::signals)) != 0) leave_handlers_alone();
  if (asked.audit) start_audit();
  always = asked.patch_always;
  if (always) begin_always();
} catch (const std::exception& e) {
  give_up(e);
}

void wrap_thread(thread_start<void*>& start) noexcept {
  wrap(start);
}
void wrap_thread(thread_start<int>& start) noexcept {
  wrap(start);
}
void unwrap_thread(const thread_start<void*>& start, const void* argument) noexcept {
  unwrap(start, argument);
}
void unwrap_thread(const thread_start<int>& start, const void* argument) noexcept {
  unwrap(start, argument);
}

}  // namespace coir::posix

namespace coir::patch {

scoped_off::scoped_off() {
  sched::scheduler::ensure().switch_patch_off(1);
}
scoped_off::~scoped_off() {
  sched::scheduler::existing()->switch_patch_off(-1);
}

}  // namespace coir::patch

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

bool overflow(const void* address) noexcept {
  scheduler* s = scheduler::existing();
  if (s == nullptr || s->own_current()->has(is_main)) return false;
  const fiber& f = *s->own_current();
  const char* at = static_cast<const char*>(address);
  if (at >= f.stack.low || at < f.stack.low - context::guard_size(f.stack.size)) return false;
  base::text_out out(2);
  out.text("coir: stack overflow in fiber #").number(f.id).text(" \"").text(f.display_name());
  out.text("\": its stack of ").number(f.stack.size).text(" bytes is used up; spawned at ");
  describe_site(out, f.spawn_site);
  out.text("; give it more by coir::attributes{.stack_size = ...}\n");
  return true;
}

}  // namespace

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

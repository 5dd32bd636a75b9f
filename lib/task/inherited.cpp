#include <algorithm>
#include <atomic>
#include <new>
#include <optional>
#include <vector>

#include "coir/inherited.hpp"
#include "task/data.hpp"

namespace coir::detail {

// Never changed once a fiber sees it.
struct context_values {
  struct entry {
    std::uint64_t id;
    std::shared_ptr<const void> value;
  };
  std::atomic<std::uint32_t> refs{1};
  std::vector<entry> entries;

  const entry* find(std::uint64_t id) const noexcept {
    const auto at = std::find_if(entries.begin(), entries.end(), [id](const entry& e) { return e.id == id; });
    return at == entries.end() ? nullptr : &*at;
  }
};

namespace {

std::atomic<std::uint64_t> last_id{0};

context_values* seen_by(const sched::fiber& f) noexcept {
  return static_cast<context_values*>(f.values);
}

// Returns what the fiber saw before. What goes may run code of the program: it does when nothing is half
// done.
context exchange_values(sched::fiber& f, context next) noexcept {
  context_values* const before = seen_by(f);
  f.values = next.release();
  return context(before);
}

// A copy of `from` with or, if `value` is null, without an entry.
context changed(const context_values* from, std::uint64_t id, std::shared_ptr<const void> value) {
  context made(new context_values);
  auto& entries = made.values()->entries;
  entries.reserve((from == nullptr ? 0 : from->entries.size()) + 1);
  if (from != nullptr)
    std::copy_if(from->entries.begin(), from->entries.end(), std::back_inserter(entries),
                 [id](const context_values::entry& e) { return e.id != id; });
  if (value != nullptr) entries.push_back({id, std::move(value)});
  return made;
}

sched::fiber* existing_fiber() noexcept {
  sched::scheduler* s = sched::scheduler::existing();
  return s == nullptr || !s->has_data() ? nullptr : s->current();
}

}  // namespace

context::context(const context& other) noexcept : values_(other.values_) {
  if (values_ != nullptr) values_->refs.fetch_add(1, std::memory_order_relaxed);
}

void context::drop() noexcept {
  // acq_rel: whoever destroys the values sees all that others did with them
  if (values_->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::optional<task::shielded> whole;
  if (sched::scheduler* s = sched::scheduler::existing()) whole.emplace(*s->current());
  delete values_;
}

context context::of_caller() noexcept {
  const sched::fiber* f = existing_fiber();
  if (f == nullptr || f->values == nullptr) return {};
  seen_by(*f)->refs.fetch_add(1, std::memory_order_relaxed);
  return context(seen_by(*f));
}

in_context::in_context(context seen) {
  if (seen.values() != nullptr) sched::scheduler::ensure().note_data();
  if (sched::fiber* f = existing_fiber()) before_ = exchange_values(*f, std::move(seen));
}

in_context::~in_context() {
  if (sched::fiber* f = existing_fiber()) exchange_values(*f, std::move(before_));
}

context_key::context_key() noexcept : id_(last_id.fetch_add(1, std::memory_order_relaxed) + 1) {}

context_key::~context_key() {
  sched::fiber* f = existing_fiber();
  if (f == nullptr || f->values == nullptr || seen_by(*f)->find(id_) == nullptr) return;
  try {
    exchange_values(*f, changed(seen_by(*f), id_, nullptr));
  } catch (const std::bad_alloc&) {
    // It stays until the fiber ends.
  }
}

const void* context_key::find() const noexcept {
  const sched::fiber* f = existing_fiber();
  if (f == nullptr || f->values == nullptr) return nullptr;
  const context_values::entry* e = seen_by(*f)->find(id_);
  return e == nullptr ? nullptr : e->value.get();
}

void context_key::set(std::shared_ptr<const void> value) const {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& f = *s.current();
  context next = changed(seen_by(f), id_, std::move(value));
  if (f.has(sched::is_main)) task::end_data_with_thread();
  s.note_data();
  exchange_values(f, std::move(next));
}

context_scope::context_scope(const context_key& key, std::shared_ptr<const void> value)
    : id_(key.id_), before_(context::of_caller()) {
  key.set(std::move(value));
  installed_ = context::of_caller();
}

context_scope::~context_scope() {
  sched::fiber& f = *existing_fiber();
  if (seen_by(f) != installed_.values()) {  // others were set inside: they stay
    try {
      const context_values::entry* old = before_.values() == nullptr ? nullptr : before_.values()->find(id_);
      before_ = changed(seen_by(f), id_, old == nullptr ? nullptr : old->value);
    } catch (const std::bad_alloc&) {
      // All is as it was before.
    }
  }
  exchange_values(f, std::move(before_));
}

}  // namespace coir::detail

namespace coir::task {

void inherit_values(sched::scheduler& s, sched::fiber& fresh) noexcept {
  if (s.current()->values != nullptr) fresh.values = detail::context::of_caller().release();
}

void give_values(sched::fiber& f, detail::context seen) noexcept {
  if (seen.values() != nullptr) f.home->note_data();
  if (f.home->has_data()) detail::exchange_values(f, std::move(seen));
}

}  // namespace coir::task

// What is called when a fiber has ended.
//
// I1: links are added, under joiners.lock, while the fiber has not ended: until then one that was added and
// not
//     taken out is in the list. Afterwards, while others run, only late ones are, which are known by number
//     only: no other can have the address of an old one.
#include <memory>

#include "coir/detail/future_core.hpp"
#include "coir/fiber.hpp"
#include "task/life.hpp"
#include "task/report.hpp"

namespace coir::task {
namespace {

void call(sched::fiber& ended, void (*run)(void*), void (*drop)(void*) noexcept, void* context) noexcept {
  try {
    run(context);
  } catch (...) {
    report_exception(ended, std::current_exception(), "a callback of");
  }
  drop(context);
}

}  // namespace

void run_links(sched::fiber& ended) noexcept {
  for (;;) {
    ended.joiners.lock.lock();
    const std::unique_ptr<sched::link> next(ended.links->pop_front());
    ended.links->running = next != nullptr;
    ended.links->running_in = detail::forks();
    ended.joiners.lock.unlock();
    if (next == nullptr) return;
    call(ended, next->run, next->drop, next->context);
  }
}

}  // namespace coir::task

namespace coir::detail {
namespace {

// Takes out the first link that `is_it` says yes to; null if there is none.
template <class Predicate>
std::unique_ptr<sched::link> take_out(sched::fiber& f, Predicate is_it) noexcept {
  f.joiners.lock.lock();
  sched::link* found = f.links != nullptr ? f.links->front() : nullptr;
  while (found != nullptr && !is_it(found)) found = f.links->after(found);
  if (found != nullptr) found->unlink();
  f.joiners.lock.unlock();
  return std::unique_ptr<sched::link>(found);
}

}  // namespace

void* add_link(fiber_base* base, void (*run)(void*), void (*drop)(void*) noexcept, void* context,
               std::uint64_t* id) {
  sched::fiber& f = *sched::record(base);
  auto added = std::make_unique<sched::link>();
  added->run = run;
  added->drop = drop;
  added->context = context;
  auto fresh = std::make_unique<sched::link_list>();
  f.joiners.lock.lock();
  // One with a number comes after those that run; unless these run in the parent of this process.
  added->late = id != nullptr && f.links != nullptr && f.links->running && f.links->running_in == forks();
  const bool ended = f.done() && !added->late;
  if (!ended) {
    if (f.links == nullptr) {
      f.links = fresh.release();
      f.mark(linked);
    }
    added->id = ++f.links->last_id;
    f.links->push_back(added.get());
  }
  if (id != nullptr) *id = ended ? 0 : added->id;
  f.joiners.lock.unlock();
  if (!ended) return added.release();
  task::call(f, run, drop, context);
  return nullptr;
}

bool remove_link(fiber_base* base, void* link) noexcept {
  sched::fiber& f = *sched::record(base);
  f.joiners.lock.lock();
  if (!f.done()) {
    static_cast<sched::link*>(link)->unlink();  // by I1 it is there
    f.joiners.lock.unlock();
    delete static_cast<sched::link*>(link);
    return true;
  }
  f.joiners.lock.unlock();
  return take_out(f, [link](sched::link* l) { return l == link && !l->late; }) != nullptr;
}

bool drop_link(fiber_base* base, std::uint64_t id) noexcept {
  const auto taken = take_out(*sched::record(base), [id](sched::link* l) { return l->id == id; });
  if (taken == nullptr) return false;
  taken->drop(taken->context);
  return true;
}

}  // namespace coir::detail

#include "coir/detail/completion.hpp"

#include <memory>

#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

// I1: `lock` guards the queue of those that ended, and `refs`.
// I2: a place holds a reference from reserve until its link's context is dropped or its link taken out, so a
//     link that runs on another thread finds the state although the completion is gone.

namespace coir::detail {

struct completion::place {
  state* owner;
  place* next = nullptr;
  const void* handle;
  bool (*remove)(const void* handle, void* link);
  void (*help)(const void* handle);
  void* link = nullptr;  // null: it has ended, or has been named
};

struct completion::state {
  wait_list waiters;
  place* first = nullptr;
  place* last = nullptr;
  std::size_t refs = 1;
  std::unique_ptr<place[]> places;

  explicit state(std::size_t count) : places(new place[count]) {}

  void release() noexcept {
    waiters.lock.lock();
    const bool unused = --refs == 0;
    waiters.lock.unlock();
    if (unused) delete this;
  }
};

completion::completion(std::size_t count) : state_(new state(count)) {}

completion::~completion() {
  for (std::size_t i = 0; i < added_; ++i) {
    place& p = state_->places[i];
    if (p.link != nullptr && p.remove(p.handle, p.link)) state_->release();
  }
  state_->release();
}

completion::place* completion::reserve(const void* handle, bool (*remove)(const void*, void*),
                                       void (*help)(const void*)) {
  place* p = &state_->places[added_++];
  p->owner = state_;
  p->handle = handle;
  p->remove = remove;
  p->help = help;
  state_->waiters.lock.lock();
  ++state_->refs;
  state_->waiters.lock.unlock();
  return p;
}

void completion::set_link(place* p, void* link) noexcept {
  p->link = link;
}

void completion::give_up(place* p) noexcept {
  --added_;
  drop(p);
}

void completion::ended(void* context) {
  auto* p = static_cast<place*>(context);
  state& s = *p->owner;
  s.waiters.lock.lock();
  (s.last != nullptr ? s.last->next : s.first) = p;
  s.last = p;
  wait::queued_waiter* w = wait::claim_first_locked(s.waiters);
  s.waiters.lock.unlock();
  if (w != nullptr) w->wake();
}

void completion::drop(void* context) noexcept {
  static_cast<place*>(context)->owner->release();
}

void completion::help_until_one_ended() {
  for (; helped_ < added_; ++helped_) {
    state_->waiters.lock.lock();
    const bool any = state_->first != nullptr;
    state_->waiters.lock.unlock();
    if (any) return;
    const place& p = state_->places[helped_];
    if (p.link != nullptr) p.help(p.handle);
  }
}

std::optional<std::size_t> completion::next(std::int64_t deadline_ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  state& here = *state_;
  // Another fiber may wait for the next one, too: whoever leaves may have been woken for what is there, and
  // all hear of the end.
  struct hand_on {
    completion& c;
    ~hand_on() {
      state& here = *c.state_;
      here.waiters.lock.lock();
      wait::queued_waiter* w = nullptr;
      if (c.named_ == c.added_)
        wait::wake_all_locked(here.waiters);
      else if (here.first != nullptr)
        w = wait::claim_first_locked(here.waiters);
      here.waiters.lock.unlock();
      if (w != nullptr) w->wake();
    }
  } const after{*this};
  for (;;) {
    const wait::mode m = wait::begin_wait(s);
    if (named_ == added_) return std::nullopt;
    if (deadline_ns == base::never) help_until_one_ended();
    wait::queued_waiter w(s);
    here.waiters.lock.lock();
    if (place* p = here.first) {
      here.first = p->next;
      if (here.first == nullptr) here.last = nullptr;
      here.waiters.lock.unlock();
      p->link = nullptr;
      ++named_;
      return static_cast<std::size_t>(p - here.places.get());
    }
    wait::enqueue_locked(here.waiters, w);
    here.waiters.lock.unlock();
    const wait::outcome o = wait::park_queued(here.waiters, w, "the next to end", deadline_ns, m);
    wait::end_wait(s, o);
    if (o == wait::outcome::timed_out) return std::nullopt;
  }
}

}  // namespace coir::detail

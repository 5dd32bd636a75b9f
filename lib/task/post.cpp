#include "coir/post.hpp"

#include <stdexcept>
#include <system_error>

#include "task/data.hpp"

namespace coir {
namespace detail {

class poster {
 public:
  static thread_handle here() {
    sched::scheduler& s = sched::scheduler::ensure();
    s.cooperate(sched::scheduler::posts);  // for good: the handle may be anywhere
    thread_handle h;
    h.mailbox_ = &s.mail();
    h.generation_ = h.mailbox_->generation();
    return h;
  }

  static void post(const thread_handle& to, std::shared_ptr<post_job> job) {
    auto l = std::make_unique<letter>();
    l->deliver = deliver;
    l->job = std::move(job);
    if (to.mailbox_->post(l.get(), to.generation_))
      (void)l.release();
    else
      refuse(*l->job);
  }

 private:
  struct letter : base::inbox_node {
    std::shared_ptr<post_job> job;
  };

  // What the fiber runs; one that never begins says so.
  struct call {
    std::shared_ptr<post_job> job;

    explicit call(std::shared_ptr<post_job> j) noexcept : job(std::move(j)) {}
    call(call&&) noexcept = default;
    ~call() {
      if (job != nullptr && job->has_fiber_) refuse(*job);
    }
    void operator()() {
      if (job->take()) job->perform();
    }
  };

  static void refuse(post_job& job) noexcept {
    if (job.take())
      job.fail(std::make_exception_ptr(std::system_error(std::make_error_code(std::errc::no_such_process),
                                                         "coir::post: the thread has ended")));
  }

  // On the thread, between two of its fibers; or at the end of its scheduler.
  static void deliver(base::inbox_node* node) noexcept {
    const std::unique_ptr<letter> l(static_cast<letter*>(node));
    const std::shared_ptr<post_job> job = l->job;
    sched::scheduler* s = sched::scheduler::existing();
    if (s == nullptr || s->ending()) return refuse(*job);
    try {
      const fiber<void> f = spawn(call(std::move(l->job)));
      job->has_fiber_ = true;
      s->disinherit(sched::record(f.base()));
      task::give_values(*sched::record(f.base()), std::move(job->seen_));
    } catch (...) {
      if (job->take()) job->fail(std::current_exception());
    }
  }
};

void post(const thread_handle& to, std::shared_ptr<post_job> job) {
  if (!to.valid())
    throw std::invalid_argument("coir::post: to=none: expected a handle of this_thread_handle");
  poster::post(to, std::move(job));
}

}  // namespace detail

thread_handle this_thread_handle() {
  return detail::poster::here();
}

}  // namespace coir

// The io_uring reactor: each wait is one operation that the kernel completes; nothing stays armed between
// waits, so closing a descriptor nobody waits on costs nothing extra.
//
// Submissions gather until the run queue is empty (or its turn is over) and go to the kernel with the wait
// itself. I1: user_data is the operation's address, or one of the marks below; an operation's memory stays
// until its last
//     completion (operation.hpp I1), so the address is always good.
// I2: only the owning thread touches the ring (IORING_SETUP_SINGLE_ISSUER); other threads write the eventfd.
// I3: a poll of a ring is over at once for POLLERR, POLLHUP and POLLRDHUP, whatever was asked, and asks no
// edge.
//     Where these stay (a peer that has shut down, an error queue nobody reads) it would be over again and
//     again: from the first such answer on (fd_state::level_lies) the descriptor's waits are for edges, in an
//     epoll set beside the ring, which the ring polls.
// I4: a request whose descriptor is ready when it comes to wait is tried again a moment later, and until then
//     a cancellation does not find it. So one that finds nothing is repeated while the operation goes on.
// I5: of several polls or receives of one descriptor an event wakes the last first. So the kernel has one for
//     each direction (`line`), the first that came; when it is over, the next in fd_state::operations.
// Rejected: multishot recv (it takes data out of the socket before the user asked: MSG_PEEK, FIONREAD, fork
// and passing the descriptor on would all see it), SQPOLL (a kernel thread burning a core).
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <utility>

#include "reactor/reactor.hpp"
#include "sys/own_fds.hpp"
#include "sys/raw.hpp"

#ifdef COIR_HAVE_URING
#include <liburing.h>

namespace coir::reactor {
namespace {

constexpr std::uint64_t ignore_mark = 0;
constexpr std::uint64_t wake_mark = 1;
constexpr std::uint64_t edges_mark = 2;
constexpr std::uint64_t cancel_mark = 3;  // in the lowest bits; the descriptor is above them
constexpr unsigned mark_bits = 2;
constexpr std::uint64_t moment_mark = 4, long_moment_mark = 8;
// What read(2) and its kin take at once, whatever they are asked for; a ring has 32 bits for it.
constexpr std::size_t most_bytes = 0x7ffff000;
// The kernel's own sleeps in epoll and nanosleep end up to 50 µs late so that wake-ups share an interrupt
// (prctl PR_SET_TIMERSLACK); io_uring's do not, so coir grants itself the same.
constexpr base::nanoseconds timer_slack = 50'000;

class uring final : public reactor {
 public:
  explicit uring(fd_table& table) noexcept : table_(table) { completes_io_ = true; }

  ~uring() override {
    leave_in_child();
    delete edges_.load(std::memory_order_relaxed);
  }

  // The memory it shares with the kernel keeps a ring, too.
  void leave_in_child() noexcept override {
    if (std::exchange(open_, false)) {
      sys::disown_fd(ring_.ring_fd);
      ::io_uring_queue_exit(&ring_);
    }
    sys::close_own_fd(std::exchange(wake_fd_, -1));
  }

  bool open() noexcept {
    ::io_uring_params p = {};
    p.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
              IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    p.cq_entries = 4096;
    error_ = -::io_uring_queue_init_params(512, &ring_, &p);
    if (error_ > 0) return false;  // < 6.1, or forbidden
    open_ = true;
    ring_.ring_fd = ring_.enter_ring_fd = sys::adopt_fd(ring_.ring_fd);
    if ((p.features & IORING_FEAT_EXT_ARG) == 0 || (p.features & IORING_FEAT_NODROP) == 0) return false;
    ::io_uring_register_ring_fd(&ring_);  // saves a descriptor look-up per call; not vital
    wake_fd_ = sys::adopt_fd(sys::raw(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (wake_fd_ < 0) error_ = -wake_fd_;
    return wake_fd_ >= 0 && arm_wake() && enter(0, 0, nullptr) >= 0;  // a filter may allow the one only
  }

  bool lacks_descriptors() const noexcept { return error_ == EMFILE || error_ == ENFILE; }
  int error() const noexcept { return error_; }

  int start(operation& op) noexcept override {
    if (op.kind == op_kind::none) return EOPNOTSUPP;
    if (__builtin_expect(op.state->level_lies, 0)) {
      if (op.kind == op_kind::poll) return start_edge(op);
      if (op.kind == op_kind::recv || op.kind == op_kind::recvmsg) return EOPNOTSUPP;  // they poll as well
    }
    op.behind = has_others_before(op);
    if (__builtin_expect(op.behind, 0)) {
      ++behind_;
    } else {
      ::io_uring_sqe* sqe = next_sqe();
      if (sqe == nullptr) return EAGAIN;
      prepare(sqe, op);
      ::io_uring_sqe_set_data64(sqe, reinterpret_cast<std::uint64_t>(&op));
    }
    op.ending = false;
    begun(op);
    if (op.suspect) suspect(table_, op);
    return 0;
  }

  void check(operation& op) noexcept override {
    if (op.by_edge) return with_edges([&](reactor& e) { e.check(op); });
    // The ring itself took the file, not the number.
    if (op.holds == nullptr || op.holds(op)) return;
    op.stale = true;
    if (op.behind) return end_behind(op, -ESTALE);
    cancel(op);
  }

  bool stop(operation& op) noexcept override {
    if (op.done) return true;
    if (op.behind) {
      --behind_;
      op.behind = false;
      ended(op, -ECANCELED);
      return true;
    }
    if (op.by_edge) {
      with_edges([&](reactor& e) { e.stop(op); });
      return true;
    }
    cancel(op);
    return false;
  }

  void forget(int fd, fd_state& s, std::uint32_t old, bool still_open) noexcept override {
    with_edges([&](reactor& e) { e.forget(fd, s, old, still_open); });
    bool any = false;
    for (operation *op = s.operations.front(), *next; op != nullptr; op = next) {
      next = s.operations.after(op);
      if (op->generation != old || op->closed) continue;
      op->closed = any = true;
      if (op->behind) {
        end_behind(*op, -EBADF);
      } else {
        cancel(*op);
      }
    }
    // The file is held until the cancelled requests are gone, so they are run down now: the peer is to see
    // the end of the stream when close returns. Their fibers are woken by the next `wait`.
    if (any) enter(0, IORING_ENTER_GETEVENTS, nullptr);
  }
  void forget_elsewhere(int fd) noexcept override {
    if (reactor* e = edges_.load(std::memory_order_acquire)) e->forget_elsewhere(fd);
  }

  bool wait(base::nanoseconds until) noexcept override {
    for (const bool trusted : {false, true})
      if (__builtin_expect(table_.has_suspects(trusted) && !moment_runs_[trusted], 0)) begin_moment(trusted);
    if (::io_uring_cq_ready(&ring_) == 0) {
      if (until <= 0) {
        enter(0, IORING_ENTER_GETEVENTS, nullptr);
      } else if (until == base::never) {
        enter(1, IORING_ENTER_GETEVENTS, nullptr);
      } else {
        const base::nanoseconds left =
            std::max<base::nanoseconds>(until - base::monotonic_now(), 0) + timer_slack;
        ::__kernel_timespec t = {left / 1'000'000'000, left % 1'000'000'000};
        enter(1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &t);
      }
    }
    // A wait that also submitted does not say EINTR; but nothing else ends it early without a completion.
    return !reap() && until > 0 && (until == base::never || base::monotonic_now() < until);
  }

  void wake() noexcept override {
    const std::uint64_t one = 1;
    sys::raw(SYS_write, wake_fd_, sys::word(&one), sizeof one);
  }

  void run_down(bool keeps) noexcept override {
    if (reaping_) return;  // a signal handler found the thread at it
    const reactor* e = edges_.load(std::memory_order_relaxed);
    const unsigned left = e != nullptr ? e->pending() : 0;  // these hold nothing
    running_down_ = true;
    keeps_ = keeps;
    // A disk may take its time; the kernel has to do with that what it can.
    constexpr base::nanoseconds longest = 200'000'000;
    const base::nanoseconds until = base::monotonic_now() + longest;
    while (pending_ - behind_ > left && base::monotonic_now() < until) {
      ::io_uring_sqe* sqe = next_sqe();
      if (sqe == nullptr) break;
      ::io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
      ::io_uring_sqe_set_data64(sqe, ignore_mark);
      do {  // until nothing comes any more: then there may be some that it did not find (I4)
        ::__kernel_timespec t = {0, 10'000'000};
        enter(1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &t);
      } while (reap() && pending_ - behind_ > left && base::monotonic_now() < until);
    }
    running_down_ = false;
    keeps_ = keeps && pending_ - behind_ > left;  // what is cancelled later than that is kept too
  }

  void renew() noexcept override {
    while (operation* op = kept_.pop_front()) {
      // Closed by another thread meanwhile: the number may be another file's.
      op->closed = fd_owners()[op->fd].generation.load(std::memory_order_acquire) != op->generation;
      if (const int error = op->closed ? EBADF : start(*op)) end_unstarted(*op, error);
    }
  }

  const char* name() const noexcept override { return "uring"; }

 private:
  // Calls `f` with the epoll set, if there is one; what is pending there counts here.
  template <class F>
  void with_edges(F f) noexcept {
    reactor* e = edges_.load(std::memory_order_relaxed);
    if (__builtin_expect(e == nullptr, 1)) return;
    const unsigned before = e->pending();
    f(*e);
    pending_ += e->pending() - before;
  }

  int start_edge(operation& op) noexcept {
    if (edges_.load(std::memory_order_relaxed) == nullptr) {
      try {
        edges_.store(make_epoll(table_, false).release(), std::memory_order_release);
      } catch (...) {
        return ENOSPC;
      }
    }
    if (!edges_armed_ && !arm_edges()) return ENOSPC;
    op.exclusive = false;  // nobody here passes an event on
    int error = 0;
    with_edges([&](reactor& e) { error = e.start(op); });
    return error;
  }

  bool arm_edges() noexcept {
    ::io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return false;
    ::io_uring_prep_poll_add(sqe, edges_.load(std::memory_order_relaxed)->descriptor(), EPOLLIN);
    ::io_uring_sqe_set_data64(sqe, edges_mark);
    return edges_armed_ = true;
  }

  void begin_moment(bool trusted) noexcept {
    ::io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return;
    ::io_uring_prep_timeout(sqe, &moment_times_[trusted], 0, 0);
    ::io_uring_sqe_set_data64(sqe, trusted ? long_moment_mark : moment_mark);
    moment_runs_[trusted] = true;
  }

  bool arm_wake() noexcept {
    ::io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return false;
    ::io_uring_prep_poll_multishot(sqe, wake_fd_, EPOLLIN);  // edge-triggered: it is never read
    ::io_uring_sqe_set_data64(sqe, wake_mark);
    return true;
  }

  ::io_uring_sqe* next_sqe() noexcept {
    ::io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    if (__builtin_expect(sqe == nullptr, 0)) {
      enter(0, 0, nullptr);
      sqe = ::io_uring_get_sqe(&ring_);
      if (sqe == nullptr) return nullptr;
    }
    ++unsubmitted_;
    return sqe;
  }

  // The direction in which an operation stands in line; 0: it does not.
  static std::uint32_t line(const operation& op) noexcept {
    constexpr std::uint32_t in = EPOLLIN, out = EPOLLOUT;
    if (op.kind == op_kind::poll) return op.exclusive ? op.events & (in | out) : 0;
    const bool receives = op.kind == op_kind::recv || op.kind == op_kind::recvmsg;
    return receives && (op.flags & MSG_OOB) == 0 ? in : 0;
  }
  bool has_others_before(const operation& op) noexcept {
    if (__builtin_expect(op.state->operations.empty(), 1)) return false;
    const std::uint32_t mine = line(op);
    for (operation* one = op.state->operations.front(); one != nullptr; one = op.state->operations.after(one))
      if (!one->behind && !one->by_edge && (line(*one) & mine) != 0 &&
          one->generation == op.state->generation)
        return true;
    return false;
  }

  void end_behind(operation& op, long result) noexcept {
    --behind_;
    op.behind = false;
    ended(op, result);
    op.complete(&op);
  }
  operation* first_behind(const operation& over) noexcept {
    const std::uint32_t which = line(over);
    for (operation* op = over.state->operations.front(); op != nullptr; op = over.state->operations.after(op))
      if (op->behind && op->generation == over.generation && (line(*op) & which) != 0) return op;
    return nullptr;
  }
  // `over` was one of the kernel's. Who does not go to the kernel (edges) is in nobody's way.
  void next_in_line(const operation& over) noexcept {
    while (operation* op = first_behind(over)) {
      --behind_;
      op->behind = false;
      ended(*op, 0);
      if (running_down_ || keeps_) return kept_.push_back(op);
      const int error = start(*op);
      if (error == 0 && !op->by_edge) return;
      if (error != 0) end_unstarted(*op, error);
    }
  }
  void end_unstarted(operation& op, int error) noexcept {
    op.result = -error;
    op.complete(&op);
  }

  // Submits what is gathered and, as asked, waits. liburing's own calls loop and take more branches.
  long enter(unsigned wait_for, unsigned flags, ::__kernel_timespec* timeout) noexcept {
    const unsigned submit = static_cast<unsigned>(::io_uring_sq_ready(&ring_));
    ring_.sq.sqe_head = ring_.sq.sqe_tail;
    __atomic_store_n(ring_.sq.ktail, ring_.sq.sqe_tail, __ATOMIC_RELEASE);
    long r;
    if (timeout != nullptr) {
      ::io_uring_getevents_arg arg = {};
      arg.sigmask_sz = 8;
      arg.ts = reinterpret_cast<std::uint64_t>(timeout);
      r = call(submit, wait_for, flags, &arg, sizeof arg);
    } else {
      r = call(submit, wait_for, flags, nullptr, 8);
    }
    if (::io_uring_sq_ready(&ring_) == 0) unsubmitted_ = 0;
    return r;
  }
  long call(unsigned submit, unsigned wait_for, unsigned flags, void* arg, std::size_t size) noexcept {
    const bool registered = (ring_.int_flags & 1) != 0;  // liburing's INT_FLAG_REG_RING
    return sys::raw(SYS_io_uring_enter, registered ? ring_.enter_ring_fd : ring_.ring_fd, submit, wait_for,
                    flags | (registered ? IORING_ENTER_REGISTERED_RING : 0), sys::word(arg),
                    static_cast<long>(size));
  }
  void prepare(::io_uring_sqe* sqe, operation& op) noexcept {
    switch (op.kind) {
      case op_kind::none:
        break;
      case op_kind::poll:
        ::io_uring_prep_poll_add(sqe, op.fd, op.events);
        break;
      case op_kind::recv:
        ::io_uring_prep_recv(sqe, op.fd, op.buffer, std::min(op.size, most_bytes), op.flags);
        if (op.poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        break;
      case op_kind::recvmsg:
        ::io_uring_prep_recvmsg(sqe, op.fd, op.message, static_cast<unsigned>(op.flags));
        if (op.poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        break;
      case op_kind::read:
        ::io_uring_prep_read(sqe, op.fd, op.buffer, static_cast<unsigned>(std::min(op.size, most_bytes)),
                             static_cast<std::uint64_t>(op.offset));
        break;
      case op_kind::write:
        ::io_uring_prep_write(sqe, op.fd, op.buffer, static_cast<unsigned>(std::min(op.size, most_bytes)),
                              static_cast<std::uint64_t>(op.offset));
        break;
      case op_kind::accept:
        ::io_uring_prep_accept(sqe, op.fd, op.address, op.address_size, op.flags);
        break;
      case op_kind::connect:
        ::io_uring_prep_connect(sqe, op.fd, static_cast<const sockaddr*>(op.buffer),
                                static_cast<socklen_t>(op.size));
        break;
    }
  }

  void cancel(operation& op) noexcept {
    ::io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return;  // cannot be: the kernel takes all entries (SUBMIT_ALL)
    ::io_uring_prep_cancel64(sqe, reinterpret_cast<std::uint64_t>(&op), 0);
    ::io_uring_sqe_set_data64(sqe, static_cast<std::uint64_t>(op.fd) << mark_bits | cancel_mark);
    op.ending = true;
  }

  // A request that was about to be tried (I4) was not found. If the try came to nothing it waits anew.
  void cancel_again(int fd) noexcept {
    fd_state* s = table_.find(fd);
    if (s == nullptr) return;
    for (operation* op = s->operations.front(); op != nullptr; op = s->operations.after(op))
      if (op->ending) cancel(*op);
  }

  // True if there was any completion.
  bool reap() noexcept {
    unsigned head = *ring_.cq.khead;
    const unsigned first = head;
    reaping_ = true;
    for (;;) {
      const unsigned tail = __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE);
      if (head == tail) break;
      for (; head != tail; ++head) {
        const ::io_uring_cqe& cqe = ring_.cq.cqes[head & *ring_.cq.kring_mask];
        if (cqe.user_data == ignore_mark) continue;
        if ((cqe.user_data & cancel_mark) == cancel_mark) {
          if (__builtin_expect(cqe.res == -ENOENT, 0))
            cancel_again(static_cast<int>(cqe.user_data >> mark_bits));
          continue;
        }
        if (cqe.user_data == wake_mark) {
          if ((cqe.flags & IORING_CQE_F_MORE) == 0) arm_wake();
          continue;
        }
        if (__builtin_expect(cqe.user_data == edges_mark, 0)) {
          with_edges([](reactor& e) { e.wait(0); });
          edges_armed_ = false;  // if it fails, who waits next tries again
          arm_edges();
          continue;
        }
        if (__builtin_expect(cqe.user_data == moment_mark || cqe.user_data == long_moment_mark, 0)) {
          const bool trusted = cqe.user_data == long_moment_mark;
          moment_runs_[trusted] = running_down_ && !keeps_;
          if (!running_down_) look_at_suspects(table_, trusted);
          continue;
        }
        // Perhaps of an earlier round, or a mark: only a hint.
        prefetch(
            reinterpret_cast<const operation*>(ring_.cq.cqes[(head + 4) & *ring_.cq.kring_mask].user_data));
        auto* op = reinterpret_cast<operation*>(cqe.user_data);
        if (op->kind == op_kind::poll && cqe.res > 0 &&
            (static_cast<std::uint32_t>(cqe.res) & op->events) == 0)
          op->state->level_lies = true;
        if (__builtin_expect(running_down_ | keeps_, 0) && (cqe.res == -ECANCELED || cqe.res == -EINTR) &&
            !(keeps_ && op->ending)) {
          ended(*op, cqe.res);
          if (keeps_) kept_.push_back(op);
          if (__builtin_expect(behind_ != 0, 0)) next_in_line(*op);
          continue;
        }
        const int instead = op->closed ? -EBADF : op->stale ? -ESTALE : -ECANCELED;
        ended(*op, cqe.res == -ECANCELED ? instead : cqe.res);
        if (__builtin_expect(behind_ != 0, 0)) next_in_line(*op);
        op->complete(op);
      }
    }
    __atomic_store_n(ring_.cq.khead, head, __ATOMIC_RELEASE);
    reaping_ = false;
    if (__builtin_expect(keeps_, 0) && !running_down_) renew();
    return head != first;
  }

  fd_table& table_;
  std::atomic<reactor*> edges_{nullptr};  // an epoll reactor, once it is needed
  bool edges_armed_ = false;              // the ring polls it
  ::io_uring ring_ = {};
  bool open_ = false;
  int error_ = 0;  // why it could not be opened
  int wake_fd_ = -1;
  ::__kernel_timespec moment_times_[2] = {{0, moment_length}, {0, long_moment}};
  bool moment_runs_[2] = {};
  unsigned behind_ = 0;  // operations that have others before them
  bool running_down_ = false;
  bool keeps_ = false;
  base::list<operation> kept_;  // done, as far as the kernel is concerned
  bool reaping_ = false;
};

}  // namespace

std::unique_ptr<reactor> make_uring(fd_table& table) {
  auto result = std::make_unique<uring>(table);
  if (!result->open()) {
    if (!result->lacks_descriptors()) return nullptr;
    throw std::system_error(result->error(), std::system_category(), "coir: io_uring_setup");
  }
  return result;
}

}  // namespace coir::reactor

#else

namespace coir::reactor {
std::unique_ptr<reactor> make_uring(fd_table&) {
  return nullptr;
}
}  // namespace coir::reactor

#endif

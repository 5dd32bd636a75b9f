// The epoll reactor: edge-triggered, each descriptor registered once, one epoll_ctl in its life.
//
// A registration names number and generation, so an event of a closed file never reaches the number's next
// owner. Internet sockets are registered for both directions at once; others for a direction when it is first
// waited for, since an AF_UNIX socket reports "writable" each time its peer reads.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "reactor/reactor.hpp"
#include "sys/own_fds.hpp"
#include "sys/raw.hpp"

namespace coir::reactor {
namespace {

constexpr std::uint64_t wake_mark = ~std::uint64_t{0}, moment_mark = wake_mark - 1;
constexpr std::uint32_t always = EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr std::uint32_t unsure = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;  // see fd_state::hung
constexpr int most_events = 512;

class epoll final : public reactor {
 public:
  epoll(fd_table& table, bool alone) : table_(table) {
    epoll_fd_ = sys::adopt_fd(sys::raw(SYS_epoll_create1, EPOLL_CLOEXEC));
    if (epoll_fd_ < 0) throw std::system_error(-epoll_fd_, std::system_category(), "coir: epoll_create1");
    if (!alone) return;
    wake_fd_ = sys::adopt_fd(sys::raw(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLET;  // edge-triggered: it is never read
    event.data.u64 = wake_mark;
    if (wake_fd_ < 0 || ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0) {
      const int error = wake_fd_ < 0 ? -wake_fd_ : errno;
      close_all();
      throw std::system_error(error, std::system_category(), "coir: eventfd");
    }
    moment_fd_ = sys::adopt_fd(sys::raw(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    event.data.u64 = moment_mark;
    const long r = moment_fd_ < 0
                       ? moment_fd_
                       : sys::raw(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, moment_fd_, sys::word(&event));
    if (r == -EMFILE || r == -ENFILE) {
      close_all();
      throw std::system_error(static_cast<int>(-r), std::system_category(), "coir: timerfd");
    }
    armed_ = r < 0 ? timer::soon : timer::off;  // forbidden: nothing is checked
  }
  ~epoll() override { close_all(); }

  int start(operation& op) noexcept override {
    if (op.kind != op_kind::poll) return EOPNOTSUPP;
    fd_state& s = *op.state;
    const std::uint32_t missing = op.events & (EPOLLIN | EPOLLOUT) & ~s.registered;
    if (__builtin_expect(missing != 0 || s.registered == 0, 0)) {
      const int error = enrol(op.fd, s, op.events);
      if (error != 0) return error == ENOMEM ? ENOSPC : error;
    } else {
      op.suspect = true;
    }
    op.by_edge = true;
    begun(op);
    if (op.suspect) suspect(table_, op);
    return 0;
  }

  void check(operation& op) noexcept override {
    fd_state& s = *op.state;
    if (register_anew(op.fd, s)) {
      if (op.holds == nullptr || op.holds(op)) return;
    } else {
      s.begin_anew();
      fd_owners()[op.fd].made_here.store(0, std::memory_order_relaxed);
      if (op.holds == nullptr) {
        const int error = enrol(op.fd, s, op.events);
        if (error == 0) return;
        ended(op, -error);
        op.complete(&op);
        return;
      }
    }
    ended(op, -ESTALE);
    op.complete(&op);
  }

  bool stop(operation& op) noexcept override {
    if (!op.done) ended(op, -ECANCELED);
    return true;
  }

  void forget(int fd, fd_state& s, std::uint32_t old, bool still_open) noexcept override {
    if (still_open && s.registered != 0) forget_elsewhere(fd);
    if (s.generation == old) s.registered = 0;
    for (operation* op = s.operations.front(); op != nullptr;) {
      operation* next = s.operations.after(op);
      if (op->generation == old && op->by_edge) {
        op->closed = true;
        ended(*op, -EBADF);
        op->complete(op);
      }
      op = next;
    }
  }

  void forget_elsewhere(int fd) noexcept override {
    sys::raw(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_DEL, fd, 0);
  }

  void nudge(fd_state& s, std::uint32_t events) noexcept override { complete_waiting(s, events); }

  bool wait(base::nanoseconds until) noexcept override {
    if (__builtin_expect((table_.has_suspects(false) && armed_ != timer::soon) ||
                             (table_.has_suspects(true) && armed_ == timer::off),
                         0))
      begin_moment();
    const long n = collect(until);
    for (long i = 0; i < n; ++i) {
      look_ahead(i, n);
      const std::uint64_t data = events_[i].data.u64;
      if (data == wake_mark) continue;
      if (__builtin_expect(data == moment_mark, 0)) {
        end_moment();
        continue;
      }
      fd_state* s = table_.find(static_cast<int>(data & 0xffffffff));
      if (s != nullptr && s->generation == static_cast<std::uint32_t>(data >> 32))
        deliver(*s, events_[i].events);
    }
    return n == -EINTR;
  }

  void wake() noexcept override {
    const std::uint64_t one = 1;
    sys::raw(SYS_write, wake_fd_, sys::word(&one), sizeof one);
  }

  void leave_in_child() noexcept override { close_all(); }
  int descriptor() const noexcept override { return epoll_fd_; }
  const char* name() const noexcept override { return "epoll"; }

 private:
  void close_all() noexcept {
    for (int* fd : {&epoll_fd_, &wake_fd_, &moment_fd_}) sys::close_own_fd(std::exchange(*fd, -1));
  }

  // One timer for both lengths: it runs for the shorter one while that is needed, and what has passed of the
  // longer one counts.
  void begin_moment() noexcept {
    const timer was = std::exchange(armed_, table_.has_suspects(false) ? timer::soon : timer::late);
    itimerspec t = {}, left = {};
    t.it_value = base::to_timespec(armed_ == timer::soon ? moment_length : long_moment - passed_);
    sys::raw(SYS_timerfd_settime, moment_fd_, 0, sys::word(&t), sys::word(&left));
    if (was == timer::late) passed_ = long_moment - base::from_timespec(left.it_value);
  }
  void end_moment() noexcept {
    const timer was = std::exchange(armed_, timer::off);
    passed_ = was == timer::soon ? passed_ + moment_length : long_moment;
    if (was == timer::soon) look_at_suspects(table_, false);
    if (passed_ < long_moment) return;
    passed_ = 0;
    look_at_suspects(table_, true);
  }

  long collect(base::nanoseconds until) noexcept {
    if (until <= 0) return sys::raw(SYS_epoll_pwait, epoll_fd_, sys::word(events_), most_events, 0, 0, 8);
    if (until == base::never)
      return sys::raw(SYS_epoll_pwait, epoll_fd_, sys::word(events_), most_events, -1, 0, 8);
    const base::nanoseconds now = base::monotonic_now();
    const timespec left = base::to_timespec(std::max<base::nanoseconds>(until - now, 0));
#ifdef SYS_epoll_pwait2
    if (has_pwait2_) {
      const long n =
          sys::raw(SYS_epoll_pwait2, epoll_fd_, sys::word(events_), most_events, sys::word(&left), 0, 8);
      if (n != -ENOSYS) return n;
      has_pwait2_ = false;
    }
#endif
    // Kernels before 5.11: epoll_wait knows milliseconds only; ppoll on the epoll descriptor waits to the
    // nanosecond.
    struct {
      int fd;
      short events, revents;
    } self = {epoll_fd_, 1 /* POLLIN */, 0};
    timespec writable = left;
    const long n = sys::raw(SYS_ppoll, sys::word(&self), 1, sys::word(&writable), 0, 8);
    if (n <= 0) return n;
    return sys::raw(SYS_epoll_pwait, epoll_fd_, sys::word(events_), most_events, 0, 0, 8);
  }

  // Asks for what the events after the `i`th will touch.
  void look_ahead(long i, long n) noexcept {
    constexpr long state_ahead = 8, operation_ahead = 4;
    const auto state_of = [this](long event) noexcept {
      return table_.find(static_cast<int>(events_[event].data.u64 & 0xffffffff));
    };
    if (i + state_ahead < n) __builtin_prefetch(state_of(i + state_ahead), 1);
    if (i + operation_ahead >= n) return;
    if (fd_state* s = state_of(i + operation_ahead)) prefetch(s->operations.front());
  }

  // Registers `fd` for `events` on top of what it is registered for.
  int enrol(int fd, fd_state& s, std::uint32_t events) noexcept {
    std::uint32_t wanted = s.registered | (events & (EPOLLIN | EPOLLOUT));
    if (s.kind == fd_kind::tcp) wanted |= EPOLLIN | EPOLLOUT;
    epoll_event event = {};
    event.events = wanted | always;
    event.data.u64 = std::uint64_t{s.generation} << 32 | static_cast<std::uint32_t>(fd);
    long r = sys::raw(SYS_epoll_ctl, epoll_fd_, s.registered != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                      sys::word(&event));
    // The number may have been closed and opened, or duplicated back, behind our back.
    if (r == -EEXIST) r = sys::raw(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_MOD, fd, sys::word(&event));
    if (r == -ENOENT) r = sys::raw(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, fd, sys::word(&event));
    if (r != 0) return static_cast<int>(-r);
    s.registered = wanted | EPOLLPRI;  // never 0 once registered
    return 0;
  }

  // Whether the number still names the file that is registered; an event that was missed comes then.
  bool register_anew(int fd, const fd_state& s) noexcept {
    epoll_event event = {};
    event.events = (s.registered & (EPOLLIN | EPOLLOUT)) | always;
    event.data.u64 = std::uint64_t{s.generation} << 32 | static_cast<std::uint32_t>(fd);
    return s.registered != 0 && sys::raw(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_MOD, fd, sys::word(&event)) == 0;
  }

  void deliver(fd_state& s, std::uint32_t events) noexcept {
    if ((events & unsure) != 0) s.hung = true;
    if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) events |= EPOLLIN;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) events |= EPOLLOUT;
    if ((events & EPOLLIN) != 0) s.drained = false;
    complete_waiting(s, events);
  }

  void complete_waiting(fd_state& s, std::uint32_t events) noexcept {
    std::uint32_t taken = 0;  // directions an exclusive waiter was woken for
    for (operation* op = s.operations.front(); op != nullptr;) {
      operation* next = s.operations.after(op);
      const std::uint32_t hit = op->by_edge ? op->events & events : 0;  // some are the ring's beside it
      if (op->by_edge && op->generation != s.generation) {  // of a file that a signal handler closed
        op->closed = true;
        ended(*op, -EBADF);
        op->complete(op);
      } else if (hit != 0 && (!op->exclusive || (hit & taken) == 0)) {
        ended(*op, static_cast<long>(hit));
        if (op->complete(op) && op->exclusive) taken |= hit;
      }
      op = next;
    }
  }

  fd_table& table_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  int moment_fd_ = -1;  // a timer; only where there are suspects, and once for all
  enum class timer : std::uint8_t { off, late, soon } armed_ = timer::soon;
  base::nanoseconds passed_ = 0;  // of a long moment
  bool has_pwait2_ = true;
  epoll_event events_[most_events];
};

}  // namespace

std::unique_ptr<reactor> make_epoll(fd_table& table, bool alone) {
  return std::make_unique<epoll>(table, alone);
}

}  // namespace coir::reactor

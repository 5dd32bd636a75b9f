#include "coir/pipe_stream.hpp"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/raw.hpp"
#include "coir/this_fiber.hpp"
#include "task/watch.hpp"
#include "wait/forget.hpp"
#include "wait/waiter.hpp"

namespace coir {
namespace {

using base::raw;
using base::word;

constexpr std::size_t chunk = 64 * 1024;  // what a pipe holds

}  // namespace

void pipe_stream::adopt(int fd) noexcept {
  close();
  fd_ = wait::fresh(fd);
}

void pipe_stream::close() noexcept {
  if (fd_ >= 0) wait::close(std::exchange(fd_, -1));
}

long pipe_stream::read_now(std::string& to, std::size_t most) noexcept {
  const std::size_t before = to.size();
  try {
    to.resize(before + most);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  const long n = read_now(to.data() + before, most);
  to.resize(before + static_cast<std::size_t>(std::max(n, 0L)));
  return n;
}

long pipe_stream::read_now(char* to, std::size_t most) noexcept {
  if (fd_ < 0) return -EBADF;
  if (const std::size_t n = std::min(most, ahead_.size() - taken_); n != 0) {
    std::memcpy(to, ahead_.data() + taken_, n);
    taken_ += n;
    return static_cast<long>(n);
  }
  return raw(SYS_read, fd_, word(to), static_cast<long>(most));
}

void pipe_stream::take_ahead(std::string& to) {
  to.append(ahead_, taken_);
  ahead_ = {};
  taken_ = 0;
}

long pipe_stream::write_now(std::string_view data) noexcept {
  if (fd_ < 0) return -EBADF;
  // The kernel sends SIGPIPE to the thread that writes: it is held back, and taken out again.
  constexpr std::uint64_t sigpipe = std::uint64_t{1} << (SIGPIPE - 1);
  std::uint64_t before = 0, pending = 0;
  raw(SYS_rt_sigpending, word(&pending), sizeof pending);
  raw(SYS_rt_sigprocmask, SIG_BLOCK, word(&sigpipe), word(&before), sizeof before);
  const long n = raw(SYS_write, fd_, word(data.data()), static_cast<long>(data.size()));
  if (n == -EPIPE && (pending & sigpipe) == 0) {
    timespec none = {};
    raw(SYS_rt_sigtimedwait, word(&sigpipe), 0, word(&none), sizeof sigpipe);
  }
  raw(SYS_rt_sigprocmask, SIG_SETMASK, word(&before), 0, sizeof before);
  return n;
}

namespace {

// Tries `step`, which does not wait, until it does something; what it returns then.
template <class Step>
std::size_t wait_for(const pipe_stream& p, std::uint32_t events, const char* what, Step step) {
  this_fiber::check_cancelled();
  for (;;) {
    const long n = step();
    if (n >= 0) {
      sched::scheduler::ensure().charge();
      return static_cast<std::size_t>(n);
    }
    if (n != -EAGAIN)
      throw std::system_error(static_cast<int>(-n), std::system_category(),
                              std::string("coir::pipe_stream: ") + what);
    const task::watched this_one[] = {{p.native_handle(), events}};
    task::wait_any(this_one, what);
  }
}

}  // namespace

std::size_t pipe_stream::read_some(void* to, std::size_t size) {
  return wait_for(*this, EPOLLIN, "pipe read", [&] { return read_now(static_cast<char*>(to), size); });
}

// Reads more behind what is ahead, from whose front what was taken goes. False at the end.
bool pipe_stream::read_ahead() {
  ahead_.erase(0, std::exchange(taken_, 0));
  const std::size_t before = ahead_.size();
  return wait_for(*this, EPOLLIN, "pipe read", [&] {
           ahead_.resize(before + chunk);
           const long n = raw(SYS_read, fd_, word(ahead_.data() + before), chunk);
           ahead_.resize(before + static_cast<std::size_t>(std::max(n, 0L)));
           return n;
         }) != 0;
}

std::optional<std::string> pipe_stream::read_line() {
  for (std::size_t seen = taken_;;) {
    const std::size_t end = ahead_.find('\n', seen);
    if (end != std::string::npos) {
      std::string line = ahead_.substr(taken_, end - taken_);
      taken_ = end + 1;
      return line;
    }
    seen = ahead_.size() - taken_;
    if (read_ahead()) continue;
    if (ahead_.empty()) return std::nullopt;
    return std::exchange(ahead_, {});
  }
}

std::string pipe_stream::read_all() {
  while (read_ahead()) {
  }
  return std::exchange(ahead_, {});
}

void pipe_stream::write(std::string_view data) {
  while (!data.empty())
    data.remove_prefix(wait_for(*this, EPOLLOUT, "pipe write", [&] { return write_now(data); }));
}

}  // namespace coir

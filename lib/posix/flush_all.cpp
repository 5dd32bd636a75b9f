// fflush(nullptr): every stream's output in turn. libc's own holds its list of streams while it waits for one
// that somebody uses, and for the reader of another: then no stream can be opened or closed.
//
// I1: the list is locked only while nothing is waited for. I2: a stream that was looked at is not freed
// before its turn is over: fclose waits for that. I3: each stream is written once, however fast it is filled
// again.
#include <errno.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "posix/output.hpp"
#include "posix/stream_state.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"

// libc's own.
extern "C" FILE* _IO_list_all;
extern "C" void _IO_list_lock();
extern "C" void _IO_list_unlock();

namespace coir::posix {
namespace {

// As libc's: its wide buffer begins with the pointers of a FILE's. Without the stream's lock it is a guess.
__attribute__((no_sanitize("thread"))) bool has_output(const FILE* f) noexcept {
  if (f->_mode <= 0) return f->_IO_write_ptr > f->_IO_write_base;
  const auto* at = reinterpret_cast<wchar_t* const*>(f->_wide_data);
  return at[4] > at[3];
}

// Who uses the stream: a fiber, or a thread without any.
class turn {
 public:
  explicit turn(FILE* f) noexcept : f_(f) {
    if (detail::cooperative == 0)
      held_ = sys::real.ftrylockfile(f) == 0;
    else
      held_ = static_cast<bool>(lock_.emplace(f, std::try_to_lock));
  }
  ~turn() {
    if (held_ && !lock_) sys::real.funlockfile(f_);
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  explicit operator bool() const noexcept { return held_; }

 private:
  FILE* f_;
  std::optional<stream_lock> lock_;
  bool held_;
};

bool write_out(FILE* f) {
  if (detail::cooperative != 0 && !stream::flush(f)) return false;
  if (!has_output(f)) return true;
  return f->_mode > 0 ? sys::real.fflush_unlocked(f) != EOF : sys::real.__overflow(f, EOF) != EOF;
}

// Until it is time to look again who is through with a stream. False: interrupted, and errno says by what.
bool rest() noexcept {
  constexpr base::nanoseconds a_while = 1'000'000;
  if (detail::cooperative == 0) {
    const timespec t = base::to_timespec(a_while);
    sys::raw(SYS_nanosleep, sys::word(&t), 0);
    return true;
  }
  scheduler& s = *scheduler::existing();
  int error = wait::interrupt_errno(*s.current());
  if (error == 0) {
    wait::waiter w(s);
    wait::park_until(w, "stdio", s.now() + a_while);
    error = wait::interrupt_errno(*s.current());
  }
  if (error != 0) errno = error;
  return error == 0;
}

int flush_each() {
  std::vector<const FILE*> written;
  int result = 0;
  for (bool again = true; again;) {
    again = false;
    std::optional<turn> mine;
    FILE* f = nullptr;
    written.reserve(written.size() + 1);
    _IO_list_lock();
    for (FILE* at = _IO_list_all; at != nullptr && f == nullptr; at = at->_chain) {
      if (!has_output(at) || std::find(written.begin(), written.end(), at) != written.end()) continue;
      if (mine.emplace(at))
        f = at;
      else
        again = true;
    }
    _IO_list_unlock();
    if (f != nullptr) {
      again = true;
      written.push_back(f);
      if (!write_out(f)) result = EOF;
    } else if (again) {
      mine.reset();
      if (!rest()) return EOF;
    }
  }
  return result;
}

}  // namespace

int flush_all() {
  try {
    return flush_each();
  } catch (const std::bad_alloc&) {
    return sys::real.fflush(nullptr);
  }
}

}  // namespace coir::posix

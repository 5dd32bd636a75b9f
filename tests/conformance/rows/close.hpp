// Closing a descriptor while others wait on it. Threads wait on until something happens to the file; fibers
// are woken with EBADF, before the number can have a new owner. So these rows are in the table of documented
// differences, and their hard expectations hold on fibers.
#pragma once

#include <errno.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "../row.hpp"
#include "../things.hpp"

namespace conformance {

// Runs `wait_it`, then `close_it` when it waits. On threads `unblock` ends the wait afterwards.
inline void close_during(log& o, const std::string& what, std::function<void(log&)> wait_it,
                         const std::function<void()>& close_it, const std::function<void()>& unblock) {
  flow waiter(what, std::move(wait_it));
  settle();
  o.say("%s: the waiter %s", what.c_str(), waiter.state());
  close_it();
  settle();
  o.say("%s: closed, the waiter %s", what.c_str(), waiter.state());
  if (on_fibers()) o.check(waiter.done(), (what + ": the waiter is woken").c_str());
  if (!waiter.done()) unblock();
}

// A read that on fibers ends with EBADF.
inline std::function<void(log&)> doomed_read(int fd) {
  return [fd](log& r) {
    char data[16];
    errno = 0;
    const ssize_t n = read(fd, data, sizeof data);
    r.result("read", n, n < 0 ? errno : untouched);
    if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
  };
}

// `close_it` closes the reading end of a fresh pair while a read waits there.
inline void close_under_read(log& o, kind k, const char* what,
                             const std::function<void(descriptor&)>& close_it) {
  both_ends e = make(k);
  close_during(
      o, std::string(name_of(k)) + " " + what, doomed_read(e.a), [&] { close_it(e.a); },
      [&] { write_all(e.b, "x"); });
}

// Waits on `d` until `feed` has something for it: its number is well known then, and nothing is left to read.
inline void get_known(int d, const std::function<void()>& feed) {
  flow reader("reader", [=](log&) {
    char data[64];
    const ssize_t n = read(d, data, sizeof data);
    (void)n;
  });
  settle();
  feed();
}

}  // namespace conformance

#include "run.hpp"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>

namespace conformance {
namespace {

row* first_row = nullptr;

// The run of a row.
struct state {
  const host* where;
  std::mutex lock;
  std::deque<log> logs;  // in order of making; addresses stay

  log& add(std::string name) {
    const std::lock_guard hold(lock);
    return logs.emplace_back(std::move(name));
  }
};
state* running = nullptr;

// A thread with fibers that slept this long while one of them was due was blocked.
constexpr double blocked_limit_ms = 30;

std::size_t open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count;
}

// What the runtime opens at first use is no leak of the row.
void warm_up(const host& h) {
  h.run(
      [] {
        pollfd p = {0, 0, 0};
        int ends[2];
        if (::pipe(ends) != 0) return;
        p.fd = ends[0];
        p.events = POLLIN;
        ::poll(&p, 1, 1);
        ::close(ends[0]);
        ::close(ends[1]);
        // And for room beside a peer that has shut down.
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
        const char some[4096] = {};
        ::shutdown(ends[1], SHUT_WR);
        while (::send(ends[0], some, sizeof some, MSG_DONTWAIT) > 0) {
        }
        p.fd = ends[0];
        p.events = POLLOUT;
        ::poll(&p, 1, 1);
        ::close(ends[0]);
        ::close(ends[1]);
      },
      false);
}

void append(std::string& text, const row& r, const std::string& flow, const std::string& what) {
  text += r.name;
  text += '\t';
  text += flow;
  text += '\t';
  text += what;
  text += '\n';
}

std::string noted(const row& r) {
  std::string text;
  for (const log& l : running->logs) {
    for (const std::string& line : l.lines()) append(text, r, l.flow(), line);
    for (const std::string& line : l.failures()) append(text, r, "!" + l.flow(), line);
  }
  return text;
}

int hang_output = -1;
const row* row_in_progress = nullptr;

// The process hangs and is about to be killed: reading what others may be writing is worth the risk.
void on_hang(int) {
  if (running != nullptr) {
    const std::string text = noted(*row_in_progress) + row_in_progress->name + "\t!main\thangs\n";
    if (::write(hang_output, text.data(), text.size()) < 0) ::_exit(3);
  }
  ::signal(SIGTERM, SIG_DFL);
  ::raise(SIGTERM);
}

}  // namespace

void note_hangs_to(int output) {
  hang_output = output;
  ::signal(SIGTERM, on_hang);
}

row::row(const char* row_name, void (*row_body)(log&), unsigned row_flags)
    : name(row_name), body(row_body), flags(row_flags), next(first_row) {
  first_row = this;
}

std::vector<const row*> all_rows() {
  std::vector<const row*> rows;
  for (const row* r = first_row; r != nullptr; r = r->next) rows.push_back(r);
  std::sort(rows.begin(), rows.end(),
            [](const row* a, const row* b) { return std::strcmp(a->name, b->name) < 0; });
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (std::strcmp(rows[i - 1]->name, rows[i]->name) != 0) continue;
    std::fprintf(stderr, "conformance: two rows are called \"%s\"\n", rows[i]->name);
    std::exit(2);
  }
  return rows;
}

std::string run_row(const row& r, const host& h) {
  warm_up(h);
  ::signal(SIGPIPE, SIG_IGN);
  state now;
  now.where = &h;
  row_in_progress = &r;
  running = &now;
  log& o = now.add("main");
  const std::size_t before = open_descriptors();
  const stopwatch since;
  const double blocked = h.run([&] { r.body(o); }, (r.flags & no_ticker) == 0);
  if (const std::size_t after = open_descriptors(); after != before)
    o.check(false,
            after > before ? "the row leaves descriptors open" : "the row closed descriptors of others");
  if (blocked > blocked_limit_ms) o.check(false, "late: the thread of the fibers was blocked");
  std::string text = noted(r);
  if (std::getenv("CONFORMANCE_TIMES") != nullptr) {
    char line[96];
    std::snprintf(line, sizeof line, "%.0f ms, blocked %.1f ms", since.milliseconds(), blocked);
    append(text, r, "#", line);
  }
  running = nullptr;
  return text;
}

bool on_fibers() noexcept {
  return running->where->fibers;
}

void settle() {
  running->where->settle();
}

flow::flow(std::string name, std::function<void(log&)> body) {
  log& o = running->add(std::move(name));
  handle_ = running->where->start([this, &o, body = std::move(body)] {
    body(o);
    done_.store(true);
  });
}

void flow::join() {
  if (handle_ != nullptr) running->where->join(handle_);
  handle_ = nullptr;
}

double stopwatch::milliseconds() const noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec - start_.tv_sec) * 1e3 +
         static_cast<double>(now.tv_nsec - start_.tv_nsec) / 1e6;
}

long log::result(const char* call, long r, int error_after) {
  while (*call == ':' || *call == ' ') ++call;
  const std::string name(call, std::strcspn(call, "( "));
  if (r == -1) {
    const char* error = ::strerrorname_np(error_after);
    say("%s -> -1 %s", name.c_str(), error != nullptr ? error : "an unknown errno");
  } else {
    say("%s -> %ld", name.c_str(), r);
    if (error_after != untouched)
      check(false, (name + " succeeded and changed errno to " + std::to_string(error_after)).c_str());
  }
  return r;
}

void log::say(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  for (char* p = text; *p != '\0'; ++p)
    if (*p == '\n' || *p == '\t') *p = ' ';
  lines_.emplace_back(text);
}

bool log::check(bool holds, const char* what) {
  if (!holds) failures_.emplace_back(what);
  return holds;
}

void log::left(const stopwatch& since, double whole, double left_over) {
  constexpr double rounding = 5;  // a tick of the kernel's, by which it counts some
  const double least = whole - since.milliseconds() - rounding;
  char text[96];
  std::snprintf(text, sizeof text, "%.2f of %g ms are said to be left, of at least %.2f", left_over, whole,
                least);
  check(left_over < whole && left_over >= least, text);
}

void log::took(const stopwatch& since, double milliseconds) {
  const double actual = since.milliseconds();
  const double late = milliseconds + 500;
  if (milliseconds > 0)
    say("took %g ms", milliseconds);
  else
    say("took no time");
  char text[96];
  std::snprintf(text, sizeof text, "%s: took %.2f ms where %g were expected",
                actual < milliseconds ? "early" : "late", actual, milliseconds);
  check(actual >= milliseconds && actual <= (milliseconds > 0 ? late : 150), text);
}

}  // namespace conformance

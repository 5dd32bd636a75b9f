// usage: PROGRAM [--host NAME] [--together] [--jobs N] [--list] [PART_OF_A_NAME...]
//
// Runs the rows and prints what they noted, one tab-separated line each: row, flow, text. A failed
// expectation has the flow "!NAME"; the last line of a row has the flow "=" and says how it ended. Each row
// runs in a process of its own, several at a time; with --together all that can share a process do, one after
// the other.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "run.hpp"

namespace {

using namespace conformance;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// Under a sanitizer or on a loaded machine things take longer; a hang does not end at all.
double hang_limit_ms() {
  const char* slack = ::getenv("CONFORMANCE_SLACK");
  return 10'000 * (slack != nullptr ? std::atof(slack) : 1);
}

struct child {
  std::vector<const row*> rows;
  int output = -1;
  stopwatch started;
  // What it used of the processor since the last look.
  double processor_ms = 0;
  bool works = true;
  stopwatch looked;
  // It was asked to say what it noted so far.
  bool asked = false;
  stopwatch since_asked;
};

double processor_ms_of(pid_t pid) {
  clockid_t clock;
  timespec t = {};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &t) != 0) return 0;
  return static_cast<double>(t.tv_sec) * 1000 + static_cast<double>(t.tv_nsec) / 1e6;
}

void print_output(int fd) {
  char part[65536];
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(fd, part, sizeof part, at);
    if (n <= 0) return;
    ::fwrite(part, 1, static_cast<size_t>(n), stdout);
    at += n;
  }
}

// Runs `rows` in this process, which then ends.
[[noreturn]] void be_child(const child& c, const host& h, const sigset_t& mask) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  note_hangs_to(c.output);
  for (const row* r : c.rows) {
    std::string text = run_row(*r, h);
    if (c.rows.size() > 1) text += std::string(r->name) + "\t=\tended\n";
    if (::write(c.output, text.data(), text.size()) < 0) ::_exit(3);
  }
  ::_exit(0);
}

class runner {
 public:
  runner(const host& h, unsigned jobs) : host_(h), jobs_(jobs) {
    sigset_t child_ends;
    ::sigemptyset(&child_ends);
    ::sigaddset(&child_ends, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &child_ends, &mask_);
    child_ends_ = child_ends;
  }

  void run(std::vector<const row*> rows) {
    while (children_.size() >= jobs_) wait_for_one();
    child c;
    c.rows = std::move(rows);
    c.output = ::memfd_create("rows", MFD_CLOEXEC);
    ::fflush(stdout);
    const pid_t pid = ::fork();
    if (pid < 0 || c.output < 0) {
      ::perror("conformance: cannot start a row");
      ::exit(3);
    }
    if (pid == 0) be_child(c, host_, mask_);
    children_.emplace(pid, std::move(c));
  }

  void finish() {
    while (!children_.empty()) wait_for_one();
  }

 private:
  void wait_for_one() {
    for (;;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (const auto found = children_.find(pid); pid > 0 && found != children_.end()) {
        report(found->second, status);
        children_.erase(found);
        return;
      }
      for (auto& [hung, c] : children_) end_if_hung(hung, c);
      const timespec brief = {0, 50'000'000};
      ::sigtimedwait(&child_ends_, nullptr, &brief);
    }
  }

  // Beside others a process may only be slow: it hangs if it does next to nothing, or after a long time.
  static void end_if_hung(pid_t pid, child& c) {
    if (c.looked.milliseconds() > 1000) {
      const double now = processor_ms_of(pid);
      c.works = now - c.processor_ms > 50;
      c.processor_ms = now;
      c.looked.restart();
    }
    const double limit = hang_limit_ms() + 1000 * static_cast<double>(c.rows.size());
    if (c.started.milliseconds() < (c.works ? 4 * limit : limit)) return;
    if (!std::exchange(c.asked, true)) {
      c.since_asked.restart();
      ::kill(pid, SIGTERM);
    } else if (c.since_asked.milliseconds() > 1000) {
      ::kill(pid, SIGKILL);
    }
  }

  void report(child& c, int status) {
    print_output(c.output);
    ::close(c.output);
    std::string how = "ended";
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM))
      how = "HUNG";
    else if (WIFSIGNALED(status))
      how = std::string("killed by SIG") + ::sigabbrev_np(WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
      how = "exit status " + std::to_string(WEXITSTATUS(status));
    if (c.rows.size() == 1)
      ::printf("%s\t=\t%s\n", c.rows[0]->name, how.c_str());
    else if (how != "ended")
      ::printf("all rows together\t!\t%s\n", how.c_str());
    ::fflush(stdout);
  }

  const host& host_;
  unsigned jobs_;
  sigset_t mask_;
  sigset_t child_ends_;
  std::map<pid_t, child> children_;
};

}  // namespace

int main(int argc, char** argv) {
  const host* h = &hosts()[0];
  std::string rows_of;  // the host that is compared with; else the same
  bool together = false, list = false;
  unsigned jobs = 4;
  std::vector<std::string> filters;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--host" && i + 1 < argc) {
      const std::string wanted = argv[++i];
      h = nullptr;
      for (const host& candidate : hosts())
        if (wanted == candidate.name) h = &candidate;
      if (h == nullptr) {
        ::fprintf(stderr, "conformance: --host %s: this program has no such host\n", wanted.c_str());
        return 2;
      }
    } else if (argument == "--rows-of" && i + 1 < argc) {
      rows_of = argv[++i];
    } else if (argument == "--jobs" && i + 1 < argc) {
      jobs = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (argument == "--together") {
      together = true;
    } else if (argument == "--list") {
      list = true;
    } else if (argument.starts_with("--")) {
      ::fprintf(stderr, "conformance: unknown option %s\n", argument.c_str());
      return 2;
    } else {
      filters.push_back(argument);
    }
  }

  if (rows_of.empty()) rows_of = h->name;
  runner children(*h, jobs > 0 ? jobs : 1);
  std::vector<const row*> shared;
  for (const row* r : all_rows()) {
    bool wanted = filters.empty();
    for (const std::string& f : filters) wanted = wanted || ::strstr(r->name, f.c_str()) != nullptr;
    wanted = wanted && ((r->flags & fibers_only) == 0 || h->fibers) &&
             ((r->flags & one_thread) == 0 || rows_of != "spread") &&
             ((r->flags & (bad_reads | libc_checks)) == 0 || !sanitized);
    if (!wanted) continue;
    if (list)
      ::puts(r->name);
    else if (together && (r->flags & own_process) == 0)
      shared.push_back(r);
    else
      children.run({r});
  }
  if (!shared.empty()) children.run(shared);
  children.finish();
}

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coir/detail/time.hpp"
#include "coir/exit_status.hpp"
#include "coir/pipe_stream.hpp"

namespace coir {

/// What one of a child's standard streams is.
class redirect {
 public:
  /// The parent's own.
  static redirect inherit() { return {}; }
  /// /dev/null.
  static redirect null() { return file("/dev/null", modes::update); }
  /// A pipe, whose other end is the subprocess's `in`, `out` or `err`.
  static redirect pipe() { return redirect(kinds::pipe); }
  /// For `err`: where `out` goes.
  static redirect to_out() { return redirect(kinds::to_out); }
  /// A file to read, which is there. Of a FIFO no writer is waited for: it is at its end while there is none.
  static redirect read(std::string path) { return file(std::move(path), modes::read); }
  /// A file to write, made or emptied. A FIFO that nobody reads is std::system_error, ENXIO.
  static redirect write(std::string path) { return file(std::move(path), modes::write); }
  /// A file to write at its end, made if need be. A FIFO as with `write`.
  static redirect append(std::string path) { return file(std::move(path), modes::append); }
  /// A descriptor of the parent, which stays the caller's; needed until the child has started.
  static redirect descriptor(int fd) {
    redirect r(kinds::descriptor);
    r.fd_ = fd;
    return r;
  }

  /// Internal.
  enum class kinds : unsigned char { inherit, pipe, to_out, file, descriptor };
  /// Internal.
  enum class modes : unsigned char { read, write, append, update };
  /// Internal.
  kinds kind() const noexcept { return kind_; }
  /// Internal.
  modes mode() const noexcept { return mode_; }
  /// Internal.
  const std::string& path() const noexcept { return path_; }
  /// Internal.
  int fd() const noexcept { return fd_; }

  redirect() noexcept = default;

 private:
  explicit redirect(kinds k) noexcept : kind_(k) {}
  static redirect file(std::string path, modes m) {
    redirect r(kinds::file);
    r.mode_ = m;
    r.path_ = std::move(path);
    return r;
  }

  kinds kind_ = kinds::inherit;
  modes mode_ = modes::read;
  int fd_ = -1;
  std::string path_;
};

/// How a subprocess is started: `coir::subprocess c({"cat"}, {.in = coir::redirect::pipe()})`.
struct subprocess_options {
  /// Its stdin.
  redirect in = {};
  /// Its stdout.
  redirect out = {};
  /// Its stderr.
  redirect err = {};
  /// Variables on top of the inherited ones; one without a value is taken away.
  std::map<std::string, std::optional<std::string>> environment = {};
  /// False: it has no other variables than `environment`.
  bool inherit_environment = true;
  /// Its working directory; empty: the parent's. A program's relative path starts there.
  std::string cwd = {};
  /// Makes it the leader of a session, and so of a process group, of its own (setsid).
  bool new_session = false;
  /// Makes it the leader of a process group of its own, `kill(-child.id(), …)` reaches that.
  bool new_group = false;
  /// Descriptors above 2 that it gets, under their numbers; it gets no others. One that is not open is
  /// std::system_error, EBADF.
  std::vector<int> pass_fds = {};
  /// What its handle's destructor does if it still runs: true kills it and waits for its end, false lets it
  /// run on.
  bool kill_at_destruction = false;
};

/// What a child left behind.
struct subprocess_result {
  /// How it ended.
  exit_status status;
  /// What it wrote to stdout, where that is a pipe.
  std::string out;
  /// What it wrote to stderr, where that is a pipe.
  std::string err;
};

/// Thrown by subprocess::check_output: the child did not exit with 0.
class subprocess_failed : public std::runtime_error {
 public:
  /// `program`: the name that `what` begins with.
  subprocess_failed(const std::string& program, subprocess_result result)
      : std::runtime_error("subprocess " + program + ": " + to_string(result.status)),
        result_(std::make_shared<subprocess_result>(std::move(result))) {}
  /// Its status and what it wrote.
  const subprocess_result& result() const noexcept { return *result_; }

 private:
  std::shared_ptr<subprocess_result> result_;  // copies of exceptions may not throw
};

/// A child process.
///
/// Nothing of it blocks the thread: what waits suspends the fiber, and throws coir::cancelled, timed_out or
/// what was raised if that ends the wait; the child is left as it is then. SIGCHLD and its handlers are not
/// touched. If something else of the program takes the child's status (`waitpid(-1)`; SIGCHLD is ignored),
/// the end is seen all the same, and the status is not `known()`.
///
/// Ignored signals stay ignored in the child, but for SIGPIPE; the mask is the calling fiber's.
///
/// Context: any thread. `wait`, `poll` and signals may be called by several fibers and threads at once; each
/// stream, and `communicate`, by one at a time.
class subprocess {
 public:
  /// Starts `argv[0]`, looked for in the child's PATH unless it has a slash, with the arguments `argv`.
  /// Throws std::system_error naming what failed ("subprocess /no/such: No such file or directory"), and then
  /// there is no child; std::invalid_argument for an empty `argv`, a zero byte inside a string, a variable
  /// name that is empty or has a '='. Does not suspend; the thread waits until the program is loaded.
  explicit subprocess(const std::vector<std::string>& argv, const subprocess_options& options = {});
  /// One that was moved from may be assigned to and destroyed.
  subprocess(subprocess&&) noexcept;
  /// As the destructor for what it held.
  subprocess& operator=(subprocess&&) noexcept;
  /// Closes the pipes. A child that still runs is killed and waited for, or runs on: subprocess_options. One
  /// that runs on is waited for by a thread of coir's own, so it never stays a zombie. In the child of a fork
  /// nothing is done to it. Nobody may be waiting in it.
  ~subprocess();

  /// The arguments that run `command` by the shell: `subprocess c(subprocess::shell("ls | wc -l"))`.
  static std::vector<std::string> shell(std::string command);
  /// Starts a child, gives it `input` (then its stdin is a pipe), and waits for its end. What it writes to
  /// pipes is in the result. Suspends; if the wait is interrupted the child is killed. Throws as the
  /// constructor and communicate.
  static subprocess_result run(const std::vector<std::string>& argv, const subprocess_options& options = {},
                               std::string input = {});
  /// As run, and returns what it wrote to stdout. Throws subprocess_failed if it did not exit with 0.
  static std::string check_output(const std::vector<std::string>& argv,
                                  const subprocess_options& options = {}, std::string input = {});

  /// The process's number, also when it has ended.
  pid_t id() const noexcept;
  /// This side of its pipes; closed streams where there is no pipe. They stay where they are when the
  /// subprocess is moved.
  pipe_stream& in() noexcept;
  /// The pipe of its stdout.
  pipe_stream& out() noexcept;
  /// The pipe of its stderr.
  pipe_stream& err() noexcept;

  /// How it ended, if it has. Never suspends.
  std::optional<exit_status> poll();
  /// Waits until it has ended. Suspends.
  exit_status wait() { return *wait_until_ns(detail::never_ns); }
  /// The same for at most `d`; empty if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  std::optional<exit_status> wait_for(std::chrono::duration<Rep, Period> d) {
    return wait_until_ns(detail::deadline_after(detail::checked_duration("coir::subprocess::wait_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  std::optional<exit_status> wait_until(std::chrono::time_point<Clock, Duration> t) {
    return wait_until_ns(detail::deadline_at(t));
  }

  /// Sends it a signal, and never to another process that has got its number. False if it has ended. Throws
  /// std::invalid_argument for a number that is no signal, std::system_error if it is not permitted.
  bool send_signal(int number);
  /// Sends SIGTERM.
  bool terminate();
  /// Sends SIGKILL.
  bool kill();

  /// When communicate is through, besides the child's end.
  enum class until {
    closed,  ///< every process that has the other end of a pipe has closed it: the child's children too
    ended,   ///< at the child's end, with what is in the pipes then
  };

  /// Writes `input` to its stdin and closes that, collects what it writes to the pipes, and waits for its
  /// end. A child that does not read all of the input is no error.
  ///
  /// Suspends. If the wait is interrupted nothing is lost: the next call goes on where this one stopped.
  /// Throws std::invalid_argument if there is input and stdin is no pipe (any more).
  subprocess_result communicate(std::string input = {}, until when = until::closed) {
    return *communicate_until_ns(std::move(input), when, detail::never_ns);
  }
  /// The same for at most `d`; empty if that passed first, and the next call goes on.
  /// std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  std::optional<subprocess_result> communicate_for(std::chrono::duration<Rep, Period> d,
                                                   std::string input = {}, until when = until::closed) {
    const std::int64_t ns = detail::checked_duration("coir::subprocess::communicate_for", d);
    return communicate_until_ns(std::move(input), when, detail::deadline_after(ns));
  }
  /// What communicate has collected so far, `status` included if it has ended.
  const subprocess_result& collected() const noexcept;

 private:
  struct state;

  std::optional<exit_status> wait_until_ns(std::int64_t deadline_ns);
  std::optional<subprocess_result> communicate_until_ns(std::string input, until when,
                                                        std::int64_t deadline_ns);

  std::unique_ptr<state> state_;
};

}  // namespace coir

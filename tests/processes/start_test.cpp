// How a child is started, and what it gets.
#include <coir/coir.hpp>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "children.hpp"

using namespace unit;
using coir::redirect;
using coir::subprocess;

namespace {

class temporary_folder {
 public:
  temporary_folder() {
    char name[] = "/tmp/coir-processes-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::system_error(errno, std::system_category(), "mkdtemp");
    path_ = name;
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::string content(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string sh(const std::string& command, coir::subprocess_options o = {}) {
  return subprocess::check_output(subprocess::shell(command), o);
}

}  // namespace

TEST_CASE("subprocess: runs a program of the PATH with its arguments") {
  with_children([] {
    CHECK(subprocess::check_output({"printf", "%s-%s", "a b", "c"}) == "a b-c");
    CHECK(subprocess::check_output({"/bin/sh", "-c", "echo $0", "zero"}) == "zero\n");
  });
}

TEST_CASE("subprocess: shell runs a command line") {
  with_children([] { CHECK(sh("echo one two | wc -w | tr -d ' '") == "2\n"); });
}

TEST_CASE("subprocess: errors of the start name what failed, and leave no child") {
  with_children([] {
    const auto start_text = [](std::vector<std::string> argv, coir::subprocess_options o = {}) {
      return thrown_text<std::system_error>([&] { subprocess c(argv, o); });
    };
    CHECK(start_text({"/no/such"}) == "subprocess /no/such: No such file or directory");
    CHECK(start_text({"no-such-program"}) == "subprocess no-such-program: No such file or directory");
    CHECK(start_text({"/dev/null"}) == "subprocess /dev/null: Permission denied");
    CHECK(start_text({"true"}, {.cwd = "/no/dir"}) ==
          "subprocess true: cwd /no/dir: No such file or directory");
    CHECK(start_text({"true"}, {.in = redirect::read("/no/file")}) ==
          "subprocess true: /no/file: No such file or directory");
    CHECK(start_text({"true"}, {.out = redirect::descriptor(-1)}) ==
          "subprocess true: descriptor -1: Bad file descriptor");
    CHECK(start_text({"true"}, {.pass_fds = {999}}) == "subprocess true: pass_fds: 999: Bad file descriptor");
    CHECK(start_text({""}) == "subprocess : No such file or directory");
    try {
      subprocess c({"/no/such"});
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::no_such_file_or_directory);
    }
  });
}

TEST_CASE("subprocess: wrong arguments are refused by name") {
  with_children([] {
    const auto text = [](std::vector<std::string> argv, coir::subprocess_options o = {}) {
      return thrown_text<std::invalid_argument>([&] { subprocess c(argv, o); });
    };
    CHECK(contains(text({}), "argv={}"));
    CHECK(contains(text({std::string("a\0b", 3)}), "argv=\"a\\0"));
    CHECK(contains(text({"true"}, {.environment = {{"", "x"}}}), "environment: name=\"\""));
    CHECK(contains(text({"true"}, {.environment = {{"A=B", "x"}}}), "name=\"A=B\""));
    CHECK(contains(text({"true"}, {.out = redirect::to_out()}), "to_out"));
    CHECK(contains(text({"true"}, {.pass_fds = {-7}}), "pass_fds: -7"));
  });
}

TEST_CASE("subprocess: the environment is inherited, changed, or replaced") {
  with_children([] {
    ::setenv("COIR_TEST_A", "1", 1);
    ::setenv("COIR_TEST_B", "2", 1);
    const std::string show = "echo $COIR_TEST_A-$COIR_TEST_B-$COIR_TEST_C";
    CHECK(sh(show) == "1-2-\n");
    CHECK(sh(show,
             {.environment = {{"COIR_TEST_A", "x"}, {"COIR_TEST_B", std::nullopt}, {"COIR_TEST_C", "3"}}}) ==
          "x--3\n");
    CHECK(subprocess::check_output({"/usr/bin/env"}, {.environment = {{"ONLY", "this"}},
                                                      .inherit_environment = false}) == "ONLY=this\n");
    ::unsetenv("COIR_TEST_A");
    ::unsetenv("COIR_TEST_B");
  });
}

TEST_CASE("subprocess: the program is looked for in the child's PATH and directory") {
  with_children([] {
    const temporary_folder folder;
    const std::string program = folder / "coir-test-program";
    std::ofstream(program) << "#!/bin/sh\necho found\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    CHECK(throws<std::system_error>([] { subprocess c({"coir-test-program"}); }));
    CHECK(subprocess::check_output({"coir-test-program"},
                                   {.environment = {{"PATH", "/no/such:" + folder.path()}}}) == "found\n");
    CHECK(subprocess::check_output({"./coir-test-program"}, {.cwd = folder.path()}) == "found\n");
    CHECK(subprocess::check_output({"pwd", "-P"}, {.cwd = folder.path()}) ==
          std::filesystem::canonical(folder.path()).string() + "\n");
  });
}

TEST_CASE("subprocess: standard streams are files, null, descriptors, or each other") {
  with_children([] {
    const temporary_folder folder;
    const std::string file = folder / "out";
    CHECK(subprocess::run({"echo", "one"}, {.out = redirect::write(file)}).status.success());
    CHECK(subprocess::run({"echo", "two"}, {.out = redirect::append(file)}).status.success());
    CHECK(content(file) == "one\ntwo\n");
    CHECK(subprocess::check_output({"cat"}, {.in = redirect::read(file)}) == "one\ntwo\n");
    CHECK(subprocess::run({"echo", "new"}, {.out = redirect::write(file)}).status.success());
    CHECK(content(file) == "new\n");
    CHECK(subprocess::check_output({"cat"}, {.in = redirect::null()}) == "");
    CHECK(sh("echo a; echo b >&2", {.err = redirect::to_out()}) == "a\nb\n");
    CHECK(sh("echo a; echo b >&2", {.err = redirect::null()}) == "a\n");
    const auto both = subprocess::run(subprocess::shell("echo a; echo b >&2"),
                                      {.out = redirect::pipe(), .err = redirect::pipe()});
    CHECK(both.out == "a\n");
    CHECK(both.err == "b\n");
    const int fd = ::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    CHECK(subprocess::run({"echo", "by number"}, {.out = redirect::descriptor(fd)}).status.success());
    ::close(fd);
    CHECK(content(file) == "by number\n");
    // 1 and 2 exchanged.
    CHECK(subprocess::run(subprocess::shell("true"),
                          {.out = redirect::descriptor(2), .err = redirect::descriptor(1)})
              .status.success());
  });
}

TEST_CASE("subprocess: the child has its standard streams and what was passed, and no other descriptor") {
  with_children([] {
    const int leaky = ::open("/dev/null", O_RDONLY);  // not close-on-exec
    const int wanted = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    subprocess idle({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe()});
    const std::string list =
        "f=0; while [ $f -lt 1024 ]; do [ -e /proc/$$/fd/$f ] && echo $f; f=$((f + 1)); done";
    CHECK(sh(list) == "0\n1\n2\n");
    CHECK(sh(list, {.pass_fds = {wanted, 2, wanted}}) == "0\n1\n2\n" + std::to_string(wanted) + "\n");
    CHECK((::fcntl(wanted, F_GETFD) & FD_CLOEXEC) != 0);
    ::close(leaky);
    ::close(wanted);
    idle.communicate();
  });
}

TEST_CASE("subprocess: 1000 in a row leave no descriptor and no zombie") {
  with_children([] {
    open_reactor();
    CHECK(subprocess::run({"true"}).status.success());
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 1000; ++i) REQUIRE(subprocess::run({"/bin/true"}).status.success());
    CHECK(open_descriptors() == before);
    CHECK(no_children());
  });
}

TEST_CASE("subprocess: 100 run at once") {
  with_children([] {
    std::vector<coir::fiber<std::string>> all;
    for (int i = 0; i < 100; ++i)
      all.push_back(coir::spawn([i] { return subprocess::check_output({"cat"}, {}, std::to_string(i)); }));
    for (int i = 0; i < 100; ++i) CHECK(all[static_cast<std::size_t>(i)].get() == std::to_string(i));
  });
}

TEST_CASE("subprocess: threads start children at once, and none inherits another's pipes") {
  with_children([] {
    joined_threads threads;
    std::atomic<int> good{0};
    for (int t = 0; t < 4; ++t)
      threads.start([&] {
        for (int i = 0; i < 25; ++i) good += subprocess::check_output({"cat"}, {}, "x") == "x";
      });
    threads.join();
    CHECK(good == 100);
  });
}

TEST_CASE("subprocess: a new session or group is the child's own") {
  with_children([] {
    for (const bool session : {false, true}) {
      subprocess c({"cat"}, {.in = redirect::pipe(), .new_session = session, .new_group = !session});
      CHECK(::getpgid(c.id()) == c.id());
      CHECK(::getsid(c.id()) == (session ? c.id() : ::getsid(0)));
      c.communicate();
    }
    subprocess c({"cat"}, {.in = redirect::pipe()});
    CHECK(::getpgid(c.id()) == ::getpgid(0));
    c.communicate();
  });
}

TEST_CASE(
    "subprocess: handlers of the parent are not the child's, SIGPIPE is as usual, the mask is the caller's") {
  with_children([] {
    struct sigaction before, mine = {};
    mine.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &mine, &before);
    // SIGPIPE is ignored in this program.
    const std::string status = subprocess::check_output({"cat", "/proc/self/status"});
    std::uint64_t ignored = 0;  // by nohup, say
    for (int signal = 1; signal <= 64; ++signal) {
      struct sigaction present = {};
      if (signal != SIGPIPE && ::sigaction(signal, nullptr, &present) == 0 && present.sa_handler == SIG_IGN)
        ignored |= std::uint64_t{1} << (signal - 1);
    }
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(contains(status, "SigCgt:\t0000000000000000"));
    const auto at = status.find("SigIgn:\t");
    REQUIRE(at != std::string::npos);
    CHECK(std::stoull(status.substr(at + 8, 16), nullptr, 16) == ignored);
    CHECK(contains(status, "SigBlk:\t0000000000000000"));
  });
}

TEST_CASE("subprocess: a descriptor to pass that is not open is refused by number") {
  with_children([] {
    const int free = ::dup(0);
    ::close(free);
    CHECK(contains(thrown_text<std::system_error>(
                       [&] { subprocess c({"true"}, {.in = redirect::pipe(), .pass_fds = {free}}); }),
                   "pass_fds: " + std::to_string(free) + ": Bad file descriptor"));
  });
}

TEST_CASE("subprocess: a FIFO is not waited for") {
  with_children([] {
    const temporary_folder folder;
    const std::string path = folder / "fifo";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(subprocess::check_output({"cat"}, {.in = redirect::read(path)}).empty());
    CHECK(contains(
        thrown_text<std::system_error>([&] { subprocess c({"true"}, {.out = redirect::write(path)}); }),
        path + ": No such device or address"));
    const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
    CHECK(subprocess::run({"echo", "x"}, {.out = redirect::write(path)}).status.success());
    char text[4];
    CHECK(::read(reader, text, sizeof text) == 2);
    ::close(reader);
  });
}

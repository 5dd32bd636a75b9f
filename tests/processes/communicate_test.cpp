// Pipes to and from children.
#include <coir/coir.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "children.hpp"

using namespace unit;
using coir::redirect;
using coir::subprocess;
namespace this_fiber = coir::this_fiber;

namespace {

const coir::subprocess_options all_pipes = {
    .in = redirect::pipe(), .out = redirect::pipe(), .err = redirect::pipe()};

}  // namespace

TEST_CASE("communicate: much input and output at once") {
  with_children([] {
    std::string input(8 << 20, 'x');
    for (std::size_t i = 0; i < input.size(); i += 1000) input[i] = '\n';
    const auto r = subprocess::run(subprocess::shell("tee /dev/stderr"), all_pipes, input);
    CHECK(r.status.success());
    CHECK((r.out == input));
    CHECK((r.err == input));
  });
}

TEST_CASE("communicate: other fibers run meanwhile") {
  with_children([] {
    int hold[2];
    REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
    auto other = coir::spawn([&] {
      for (int i = 0; i < 10; ++i) this_fiber::yield();
      CHECK(::write(hold[1], "go\n", 3) == 3);
    });
    const auto r = subprocess::run(
        subprocess::shell("cat; read word <&2; echo $word"),
        {.in = redirect::pipe(), .out = redirect::pipe(), .err = redirect::descriptor(hold[0])},
        std::string(1 << 20, 'x'));
    CHECK(r.out.size() == (1 << 20) + 3);
    CHECK(r.out.substr(1 << 20) == "go\n");
    other.join();
    ::close(hold[0]);
    ::close(hold[1]);
  });
}

TEST_CASE("communicate: at the timeout what came is kept, and the next call goes on") {
  with_children([] {
    subprocess c(subprocess::shell("echo one; read line; echo $line; cat"), all_pipes);
    CHECK(c.out().read_line() == "one");  // it waits for input now
    CHECK(!c.communicate_for(0s, "two\n" + std::string(1 << 20, 'y')));
    CHECK(contains(thrown_text<std::invalid_argument>([&] { c.communicate("more"); }), "input of 4 bytes"));
    const auto r = c.communicate();
    CHECK(r.out == "two\n" + std::string(1 << 20, 'y'));
    CHECK(r.status.success());
    CHECK(c.communicate().status.success());
  });
}

TEST_CASE("communicate: interrupted, it is resumed without loss") {
  with_children([] {
    subprocess c(subprocess::shell("echo begun; sleep 1000"), all_pipes);
    auto f = coir::spawn([&] { return c.communicate(); });
    CHECK(comes_true([&] { return c.collected().out == "begun\n"; }));
    f.cancel();
    CHECK(throws<coir::cancelled>([&] { f.get(); }));
    CHECK(!coir::with_timeout(1ms, [&] { return c.communicate(); }));
    CHECK(!c.communicate_for(1ms));
    CHECK(c.collected().out == "begun\n");
    c.kill();
    const auto r = c.communicate({}, subprocess::until::ended);
    CHECK(r.out == "begun\n");
    CHECK(r.status.signal() == SIGKILL);
  });
}

TEST_CASE("communicate: a grandchild that holds the pipe holds neither the timeout nor until::ended") {
  with_children([] {
    int hold[2];
    REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
    subprocess c(subprocess::shell("exec 3<&0; cat <&3 & echo out"),
                 {.in = redirect::descriptor(hold[0]), .out = redirect::pipe()});
    CHECK(c.wait().success());
    const stopwatch took;
    CHECK(!c.communicate_for(20ms));
    CHECK(took.elapsed() < patience);
    CHECK(c.collected().out == "out\n");
    CHECK(c.collected().status.success());
    CHECK(c.communicate({}, subprocess::until::ended).out == "out\n");
    ::close(hold[0]);
    ::close(hold[1]);
  });
}

TEST_CASE("communicate: a child that does not read its input is no error, and SIGPIPE kills nobody") {
  with_children([] {
    struct sigaction before, plain = {};
    ::sigaction(SIGPIPE, &plain, &before);  // the default: to be killed
    const auto r = subprocess::run({"true"}, {.in = redirect::pipe()}, std::string(1 << 20, 'x'));
    CHECK(r.status.success());
    subprocess c({"true"}, {.in = redirect::pipe()});
    c.wait();
    try {
      c.in().write("x");
      CHECK(false);
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::broken_pipe);
    }
    sigset_t pending;
    ::sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 0);
    ::sigaction(SIGPIPE, &before, nullptr);
  });
}

TEST_CASE("communicate: a child that never stops writing is timed out") {
  with_children([] {
    subprocess c({"cat", "/dev/zero"}, {.out = redirect::pipe(), .kill_at_destruction = true});
    CHECK(!c.communicate_for(10ms));
    CHECK(!coir::with_timeout(10ms, [&] { return c.communicate(); }));
  });
}

TEST_CASE("communicate: input without a pipe is refused") {
  with_children([] {
    subprocess c({"true"});
    CHECK(throws<std::invalid_argument>([&] { c.communicate("x"); }));
    CHECK(throws<std::invalid_argument>([&] { c.communicate_for(-1s); }));
    c.wait();
  });
}

TEST_CASE("check_output: a status that is not zero is thrown, with what was written") {
  with_children([] {
    try {
      subprocess::check_output(subprocess::shell("echo partly; echo why >&2; exit 3"),
                               {.err = redirect::pipe()});
      CHECK(false);
    } catch (const coir::subprocess_failed& e) {
      CHECK(std::string(e.what()) == "subprocess /bin/sh: exit 3");
      CHECK(e.result().status.code() == 3);
      CHECK(e.result().out == "partly\n");
      CHECK(e.result().err == "why\n");
    }
  });
}

TEST_CASE("pipe_stream: a conversation line by line") {
  with_children([] {
    subprocess c(subprocess::shell("while read line; do echo \"<$line>\"; done; printf end"),
                 {.in = redirect::pipe(), .out = redirect::pipe()});
    for (const std::string word : {"a", "bc", ""}) {
      c.in().write(word + "\n");
      CHECK(c.out().read_line() == "<" + word + ">");
    }
    c.in().write("x\ny\nz\n");
    c.in().close();
    CHECK(c.out().read_line() == "<x>");
    char some[3];
    CHECK(c.out().read_some(some, 3) == 3);
    CHECK(std::string(some, 3) == "<y>");
    CHECK(c.out().read_line() == "");
    CHECK(c.out().read_all() == "<z>\nend");
    CHECK(c.out().read_line() == std::nullopt);
    CHECK(c.out().read_some(some, 3) == 0);
    c.wait();
  });
}

TEST_CASE("pipe_stream: a last line without newline, and the end after it") {
  with_children([] {
    subprocess c({"printf", "a\\nb"}, {.out = redirect::pipe()});
    CHECK(c.out().read_line() == "a");
    CHECK(c.out().read_line() == "b");
    CHECK(c.out().read_line() == std::nullopt);
    c.wait();
  });
}

TEST_CASE("pipe_stream: closing wakes who waits, and closed streams say so") {
  with_children([] {
    subprocess c({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe()});
    auto reader = coir::spawn([&] { return c.out().read_all(); });
    this_fiber::yield();
    c.out().close();
    CHECK(throws<std::system_error>([&] { reader.get(); }));
    CHECK(
        throws<std::system_error>([&] { c.in().write(std::string(4 << 20, 'x')); }));  // cat dies of SIGPIPE
    c.wait();
    CHECK(!c.out().is_open());
    CHECK(c.out().native_handle() == -1);
    CHECK(throws<std::system_error>([&] { c.out().read_line(); }));
    CHECK(throws<std::system_error>([&] { c.in().write("x"); }));
    c.in().close();
    CHECK(throws<std::system_error>([&] { c.in().write("x"); }));
  });
}

TEST_CASE("subprocess: communicate until the end has what was read ahead") {
  with_children([] {
    subprocess c(subprocess::shell("printf 'a\\nb\\n'; read go; printf 'c\\n'"),
                 {.in = redirect::pipe(), .out = redirect::pipe()});
    CHECK(c.out().read_line() == "a");
    c.in().write("\n");
    c.wait();
    CHECK(c.communicate({}, subprocess::until::ended).out == "b\nc\n");
  });
}

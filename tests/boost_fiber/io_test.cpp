// Patched calls on Boost fibers suspend the fiber that makes them, and nothing else.
#include <coir/timeout.hpp>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/select.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "support.hpp"

TEST_CASE("sleep: a hundred Boost fibers sleep at the same time") {
  with_coir([] {
    int woken = 0;
    const auto took = time_of([&] {
      run_fibers(100, [&](int) {
        ::usleep(100'000);
        ++woken;
      });
    });
    CHECK(woken == 100);
    CHECK(took >= 100ms);
    CHECK(took < 4s);  // one after the other: more
  });
}

TEST_CASE("sleep: std::this_thread::sleep_for suspends a Boost fiber") {
  with_coir([] {
    const auto took = time_of([] { run_fibers(50, [](int) { std::this_thread::sleep_for(100ms); }); });
    CHECK(took >= 100ms);
    CHECK(took < 4s);  // one after the other: more
  });
}

TEST_CASE("recv: a hundred Boost fibers receive and sleep, each its own data") {
  with_coir([] {
    int right = 0;
    const auto took = time_of([&] {
      std::vector<std::unique_ptr<socket_pair>> pairs;
      for (int i = 0; i < 100; ++i) pairs.push_back(std::make_unique<socket_pair>());
      std::vector<bf::fiber> fibers;
      for (std::size_t i = 0; i < 100; ++i)
        fibers.emplace_back([&, i] {
          int got = -1;
          const int first = 3 * static_cast<int>(i);
          for (int round = 0; round < 3; ++round) {
            if (::recv((*pairs[i])[0], &got, sizeof got, 0) != sizeof got || got != first + round) return;
            ::usleep(10'000);
          }
          ++right;
        });
      for (std::size_t i = 100; i-- > 0;)
        fibers.emplace_back([&, i] {
          const int first = 3 * static_cast<int>(i);
          for (int value = first; value < first + 3; ++value) {
            ::usleep(20'000);
            if (::send((*pairs[i])[1], &value, sizeof value, 0) != sizeof value) return;
          }
        });
      for (bf::fiber& each : fibers) each.join();
    });
    CHECK(right == 100);
    CHECK(took < 4s);  // one after the other: more
  });
}

TEST_CASE("recv: the thread's own stack waits while its fibers run") {
  with_coir([] {
    socket_pair pair;
    bf::fiber sender([&] {
      ::usleep(20'000);
      ::send(pair[1], "x", 1, 0);
    });
    char got = 0;
    CHECK(::recv(pair[0], &got, 1, 0) == 1);
    CHECK(got == 'x');
    sender.join();
  });
}

TEST_CASE("recv: SO_RCVTIMEO ends it with EAGAIN, and others run meanwhile") {
  with_coir([] {
    socket_pair pair;
    const timeval limit = {0, 50'000};
    REQUIRE(::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    int error = 0;
    int ticks = 0;
    std::chrono::nanoseconds took{};
    bf::fiber reader([&] {
      took = time_of([&] {
        char byte;
        error = ::recv(pair[0], &byte, 1, 0) < 0 ? errno : 0;
      });
    });
    bf::fiber ticker([&] {
      for (; error == 0 && ticks < 10'000; ++ticks) ::usleep(1'000);
    });
    reader.join();
    ticker.join();
    CHECK(ticks > 1);
    CHECK(error == EAGAIN);
    CHECK(took >= 50ms);
    CHECK(took < 20s);
  });
}

TEST_CASE("recv: closing the descriptor in another Boost fiber ends it with EBADF") {
  with_coir([] {
    socket_pair pair;
    int error = 0;
    bf::fiber reader([&] {
      char byte;
      error = ::recv(pair[0], &byte, 1, 0) < 0 ? errno : 0;
    });
    bf::fiber closer([&] {
      ::usleep(10'000);
      pair.close_end(0);
    });
    reader.join();
    closer.join();
    CHECK(error == EBADF);
  });
}

TEST_CASE("accept and connect: Boost fibers of one thread talk over TCP") {
  with_coir([] {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener, 64) == 0);
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);

    constexpr int clients = 20;
    int echoed = 0;
    bf::fiber server([&] {
      std::vector<bf::fiber> connections;
      for (int i = 0; i < clients; ++i) {
        const int fd = ::accept(listener, nullptr, nullptr);
        connections.emplace_back([fd] {
          char text[64];
          for (ssize_t n; (n = ::recv(fd, text, sizeof text, 0)) > 0;)
            ::send(fd, text, static_cast<std::size_t>(n), 0);
          ::close(fd);
        });
      }
      for (bf::fiber& each : connections) each.join();
    });
    run_fibers(clients, [&](int i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        const std::string text = "client " + std::to_string(i);
        char back[64] = {};
        ::send(fd, text.data(), text.size(), 0);
        ::usleep(1'000);
        if (::recv(fd, back, sizeof back, 0) == static_cast<ssize_t>(text.size()) && text == back) ++echoed;
      }
      ::close(fd);
    });
    server.join();
    ::close(listener);
    CHECK(echoed == clients);
  });
}

TEST_CASE("poll and select: they wait for the first of several, or for their time") {
  with_coir([] {
    socket_pair pairs[3];
    int ready = 0, late = -1, selected = 0;
    bf::fiber poller([&] {
      pollfd all[3] = {{pairs[0][0], POLLIN, 0}, {pairs[1][0], POLLIN, 0}, {pairs[2][0], POLLIN, 0}};
      ready = ::poll(all, 3, -1) == 1 && all[1].revents == POLLIN ? 1 : -1;
      late = ::poll(all, 1, 20);
    });
    bf::fiber selecter([&] {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(pairs[2][0], &set);
      selected = ::select(pairs[2][0] + 1, &set, nullptr, nullptr, nullptr);
    });
    bf::fiber writer([&] {
      ::usleep(10'000);
      ::send(pairs[1][1], "x", 1, 0);
      ::usleep(10'000);
      ::send(pairs[2][1], "x", 1, 0);
    });
    for (bf::fiber* each : {&poller, &selecter, &writer}) each->join();
    CHECK(ready == 1);
    CHECK(late == 0);
    CHECK(selected == 1);
  });
}

TEST_CASE("poll: I/O is seen although the ready queue never empties") {
  with_coir([] {
    socket_pair pair;
    bool received = false, slept = false;
    int yields = 0;
    bf::fiber reader([&] {
      char byte;
      received = ::recv(pair[0], &byte, 1, 0) == 1;
    });
    bf::fiber sleeper([&] {
      ::usleep(1'000);
      slept = true;
    });
    std::thread sender([&] {
      ::usleep(5'000);
      ::send(pair[1], "x", 1, 0);
    });
    std::vector<bf::fiber> spinners;
    const auto give_up = clock_type::now() + 20s;
    for (int i = 0; i < 3; ++i)
      spinners.emplace_back([&] {
        while (!(received && slept) && clock_type::now() < give_up) {
          ++yields;
          boost::this_fiber::yield();
        }
      });
    for (bf::fiber& each : spinners) each.join();
    CHECK(received);
    CHECK(slept);
    CHECK(yields > 10);
    reader.join();
    sleeper.join();
    sender.join();
  });
}

TEST_CASE("read: a Boost fiber whose reads never wait lets the others run") {
  with_coir([] {
    int pipe_ends[2];
    REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
    bool other_ran = false;
    long reads = 0;
    bf::fiber greedy([&] {
      for (char byte = 'x'; !other_ran && reads < 1'000'000; ++reads)
        if (::write(pipe_ends[1], &byte, 1) != 1 || ::read(pipe_ends[0], &byte, 1) != 1) return;
    });
    bf::fiber other([&] { other_ran = true; });
    greedy.join();
    other.join();
    CHECK(other_ran);
    CHECK(reads < 10'000);
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
  });
}

TEST_CASE("sched_yield: a Boost fiber may spin for what another one does") {
  with_coir([] {
    bool done = false;
    long spins = 0;
    bf::fiber spinner([&] {
      for (; !done && spins < 1'000'000; ++spins) std::this_thread::yield();
    });
    bf::fiber other([&] {
      ::usleep(1'000);
      done = true;
    });
    spinner.join();
    other.join();
    CHECK(done);
    CHECK(spins < 1'000'000);
  });
}

TEST_CASE("errno: each Boost fiber keeps its own over patched calls") {
  with_coir([] {
    int wrong = 0;
    run_fibers(20, [&](int i) {
      for (int round = 0; round < 5; ++round) {
        errno = 1000 + i;
        ::usleep(static_cast<useconds_t>(1'000 + 100 * i));
        if (errno != 1000 + i) ++wrong;
        ::sched_yield();
      }
    });
    CHECK(wrong == 0);
  });
}

TEST_CASE("exceptions: a Boost fiber may wait in a handler, and while unwinding") {
  with_coir([] {
    struct sleeps_when_destroyed {
      ~sleeps_when_destroyed() { ::usleep(2'000); }
    };
    int wrong = 0;
    run_fibers(20, [&](int i) {
      const std::string mine = "of fiber " + std::to_string(i);
      for (int round = 0; round < 5; ++round) {
        try {
          try {
            const sleeps_when_destroyed last;
            throw std::runtime_error(mine);
          } catch (...) {
            ::usleep(static_cast<useconds_t>(1'000 + i % 7 * 300));
            if (std::uncaught_exceptions() != 0) ++wrong;
            throw;
          }
        } catch (const std::runtime_error& e) {
          ::usleep(500);
          if (e.what() != mine || std::current_exception() == nullptr) ++wrong;
        }
        if (std::current_exception() != nullptr) ++wrong;
      }
    });
    CHECK(wrong == 0);
  });
}

TEST_CASE("exceptions: a timeout around it does not end what a Boost fiber waits for while unwinding") {
  with_coir([] {
    socket_pair pair;
    long received = -1;
    bool caught = false;
    bf::fiber unwinds([&] {
      struct clean_up {
        socket_pair& pair;
        long& received;
        ~clean_up() {
          char got;
          received = ::recv(pair[0], &got, 1, 0);
        }
      };
      const coir::timeout around(10ms);
      try {
        const clean_up c{pair, received};
        throw std::runtime_error("thrown");
      } catch (const std::runtime_error&) {
        caught = true;
      }
    });
    bf::fiber sends([&] {
      ::usleep(40'000);
      ::send(pair[1], "x", 1, 0);
    });
    unwinds.join();
    sends.join();
    CHECK(received == 1);
    CHECK(caught);
  });
}

TEST_CASE("exceptions: Boost.Fiber's own waits keep them too") {
  with_coir([] {
    int wrong = 0;
    bf::mutex mutex;
    run_fibers(20, [&](int i) {
      for (int round = 0; round < 20; ++round) {
        try {
          throw i;
        } catch (int) {
          const std::unique_lock lock(mutex);
          boost::this_fiber::yield();
          if (i % 2 == 0) ::usleep(100);
          // One that begins at once, on top of this handler.
          bf::fiber(bf::launch::dispatch, [&] {
            if (std::current_exception() != nullptr) ++wrong;
            try {
              throw 'x';
            } catch (char) {
              boost::this_fiber::sleep_for(100us);
            }
          }).join();
          try {
            throw;
          } catch (int mine) {
            if (mine != i) ++wrong;
          }
        }
      }
    });
    CHECK(wrong == 0);
  });
}

TEST_CASE("signals: one ends the sleep of a Boost fiber with EINTR") {
  struct sigaction before, action = {};
  action.sa_handler = [](int) {};
  REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
  with_coir([] {
    int result = 0, error = 0;
    bool other_slept = false;
    bf::fiber sleeper([&] {
      const timespec t = {20, 0};
      result = ::nanosleep(&t, nullptr);
      error = errno;
    });
    bf::fiber other([&] {
      boost::this_fiber::sleep_for(50ms);
      other_slept = true;
    });
    const pthread_t self = ::pthread_self();
    std::thread signaller([self] {
      ::usleep(20'000);
      ::pthread_kill(self, SIGUSR1);
    });
    sleeper.join();
    CHECK(result == -1);
    CHECK(error == EINTR);
    other.join();
    CHECK(other_slept);
    signaller.join();
  });
  ::sigaction(SIGUSR1, &before, nullptr);
}

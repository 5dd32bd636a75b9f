// coir's primitives between Boost fibers, Boost.Fiber's own, and wake-ups from other threads.
#include <coir/channel.hpp>
#include <coir/condition_variable.hpp>
#include <coir/event.hpp>
#include <coir/fiber.hpp>
#include <coir/inspect.hpp>
#include <coir/mutex.hpp>
#include <coir/promise.hpp>
#include <coir/queue.hpp>
#include <coir/semaphore.hpp>
#include <coir/this_fiber.hpp>
#include <coir/timeout.hpp>

#include <atomic>
#include <optional>
#include <string>

#include "support.hpp"

TEST_CASE("mutex: excludes Boost fibers that sleep while they hold it") {
  with_coir([] {
    coir::mutex mutex;
    int inside = 0, most = 0, entries = 0;
    run_fibers(20, [&](int) {
      for (int round = 0; round < 3; ++round) {
        const std::unique_lock lock(mutex);
        most = std::max(most, ++inside);
        ++entries;
        ::usleep(500);
        --inside;
      }
    });
    CHECK(most == 1);
    CHECK(entries == 60);
  });
}

TEST_CASE("mutex: a wait with a deadline ends in time") {
  with_coir([] {
    coir::mutex mutex;
    mutex.lock();
    bool got = true, got_later = false;
    std::chrono::nanoseconds took{};
    bf::fiber impatient([&] { took = time_of([&] { got = mutex.try_lock_for(20ms); }); });
    bf::fiber patient([&] {
      got_later = mutex.try_lock_for(20s);
      if (got_later) mutex.unlock();
    });
    impatient.join();
    mutex.unlock();
    patient.join();
    CHECK_FALSE(got);
    CHECK(took >= 20ms);
    CHECK(got_later);
  });
}

TEST_CASE("recursive_mutex: each Boost fiber is an owner of its own") {
  with_coir([] {
    coir::recursive_mutex mutex;
    bool other_got_it = true;
    mutex.lock();
    mutex.lock();
    bf::fiber([&] { other_got_it = mutex.try_lock(); }).join();
    CHECK_FALSE(other_got_it);
    mutex.unlock();
    mutex.unlock();
    bf::fiber([&] {
      if ((other_got_it = mutex.try_lock())) mutex.unlock();
    }).join();
    CHECK(other_got_it);
  });
}

TEST_CASE("channel: hands over between Boost fibers in order") {
  with_coir([] {
    coir::channel<int> channel;
    std::vector<int> received;
    bf::fiber consumer([&] {
      while (const std::optional<int> value = channel.pop()) received.push_back(*value);
    });
    bf::fiber producer([&] {
      for (int i = 0; i < 1000; ++i) channel.push(i);
      channel.close();
    });
    producer.join();
    consumer.join();
    REQUIRE(received.size() == 1000);
    for (int i = 0; i < 1000; ++i) CHECK(received[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("condition_variable, semaphore, event, promise: each wakes a waiting Boost fiber") {
  with_coir([] {
    coir::mutex mutex;
    coir::condition_variable condition;
    coir::semaphore semaphore(0);
    coir::event event;
    coir::promise<int> promise;
    auto future = promise.get_future();
    bool told = false;
    int woken = 0;
    bf::fiber fibers[] = {
        bf::fiber([&] {
          std::unique_lock lock(mutex);
          while (!told) condition.wait(lock);
          ++woken;
        }),
        bf::fiber([&] {
          semaphore.acquire();
          ++woken;
        }),
        bf::fiber([&] {
          event.wait();
          ++woken;
        }),
        bf::fiber([&] { woken += future.get(); }),
    };
    ::usleep(5'000);
    CHECK(woken == 0);
    {
      const std::unique_lock lock(mutex);
      told = true;
    }
    condition.notify_all();
    semaphore.release();
    event.set();
    promise.set_value(1);
    for (bf::fiber& each : fibers) each.join();
    CHECK(woken == 4);
  });
}

TEST_CASE("event: a wait with a deadline times out, and leaves nothing behind") {
  with_coir([] {
    coir::event event;
    int timeouts = 0;
    run_fibers(20, [&](int i) {
      if (!event.wait_for(std::chrono::milliseconds(5 + i % 5))) ++timeouts;
    });
    CHECK(timeouts == 20);
    event.set();
    CHECK(event.wait_for(1s));
  });
}

TEST_CASE("timeout: each Boost fiber has its own, and they may overlap") {
  with_coir([] {
    int timed_out = 0, in_time = 0;
    run_fibers(20, [&](int i) {
      const auto limit = i % 2 == 0 ? 10ms : 10'000ms;
      coir::timeout scope(limit);
      try {
        coir::this_fiber::sleep_for(std::chrono::milliseconds(30 + i));
        ++in_time;
      } catch (const coir::timed_out& e) {
        if (e.from(scope)) ++timed_out;
      }
    });
    CHECK(timed_out == 10);
    CHECK(in_time == 10);
  });
}

TEST_CASE("threads: wake-ups between Boost fibers and plain threads go both ways") {
  with_coir([] {
    coir::queue<int> to_fibers, to_thread;
    std::thread echo([&] {
      while (const std::optional<int> value = to_thread.pop()) to_fibers.push(*value + 1);
    });
    int sum = 0;
    run_fibers(10, [&](int) {
      for (int i = 0; i < 50; ++i) {
        to_thread.push(i);
        sum += to_fibers.pop().value_or(-100'000);
      }
    });
    to_thread.close();
    echo.join();
    CHECK(sum == 10 * (50 * 49 / 2 + 50));
  });
}

TEST_CASE("threads: an event set by a plain thread wakes a thread with nothing else to do") {
  with_coir([] {
    for (int i = 0; i < 50; ++i) {
      coir::event event;
      std::thread setter([&] {
        if (i % 3 != 0) ::usleep(static_cast<useconds_t>(i * 20));
        event.set();
      });
      bf::fiber([&] { event.wait(); }).join();
      setter.join();
    }
  });
}

TEST_CASE("threads: Boost fibers of two threads share coir's and Boost's primitives") {
  coir::channel<int> channel;
  bf::buffered_channel<int> back(4);
  int sum = 0;
  std::thread other([&] {
    coir::boost_fiber::use_coir();
    run_fibers(4, [&](int) {
      while (const std::optional<int> value = channel.pop()) {
        if (*value % 16 == 0) ::usleep(100);
        back.push(2 * *value);
      }
    });
    back.close();
  });
  with_coir([&] {
    bf::fiber pusher([&] {
      for (int i = 0; i < 500; ++i) channel.push(i);
      channel.close();
    });
    for (int value; back.pop(value) == bf::channel_op_status::success;) sum += value;
    pusher.join();
  });
  other.join();
  CHECK(sum == 500 * 499);
}

TEST_CASE("threads: a Boost fiber joins a fiber of coir on another thread") {
  coir::promise<coir::fiber<int>> handle;
  auto future = handle.get_future();
  std::thread other([&] {
    handle.set_value(coir::spawn([] {
      ::usleep(20'000);
      return 42;
    }));
    coir::this_fiber::sleep_for(100ms);
  });
  with_coir([&] {
    int result = 0;
    bf::fiber([&] { result = future.get().get(); }).join();
    CHECK(result == 42);
  });
  other.join();
}

TEST_CASE("Boost.Fiber: its mutex, condition, channels, futures and sleeps work as before") {
  with_coir([] {
    bf::mutex mutex;
    bf::condition_variable condition;
    int turn = 0;
    bf::unbuffered_channel<int> channel;
    bf::promise<std::string> promise;
    bf::future<std::string> future = promise.get_future();
    std::vector<int> received;
    std::string text;

    bf::fiber fibers[] = {
        bf::fiber([&] {
          for (int value; channel.pop(value) == bf::channel_op_status::success;) received.push_back(value);
        }),
        bf::fiber([&] {
          for (int i = 0; i < 10; ++i) {
            boost::this_fiber::sleep_for(1ms);
            channel.push(i);
          }
          channel.close();
        }),
        bf::fiber([&] { text = future.get(); }),
        bf::fiber([&] {
          std::unique_lock lock(mutex);
          condition.wait(lock, [&] { return turn == 1; });
          turn = 2;
          condition.notify_all();
        }),
        bf::fiber([&] {
          std::unique_lock lock(mutex);
          turn = 1;
          condition.notify_all();
          condition.wait(lock, [&] { return turn == 2; });
          if (!condition.wait_for(lock, 10ms, [] { return false; })) turn = 3;
          promise.set_value("done");
        }),
    };
    const auto took = time_of([] { boost::this_fiber::sleep_for(20ms); });
    for (bf::fiber& each : fibers) each.join();
    CHECK(took >= 20ms);
    CHECK(received.size() == 10);
    CHECK(turn == 3);
    CHECK(text == "done");
  });
}

TEST_CASE("Boost.Fiber: another thread's notify wakes a thread that sleeps in coir") {
  with_coir([] {
    for (int i = 0; i < 200; ++i) {
      bf::promise<int> promise;
      bf::future<int> future = promise.get_future();
      std::thread setter([&] {
        if (i % 4 == 0) ::usleep(static_cast<useconds_t>(i));
        promise.set_value(i);
      });
      int got = -1;
      bf::fiber([&] { got = future.get(); }).join();
      setter.join();
      CHECK(got == i);
    }
  });
}

TEST_CASE("Boost.Fiber: many notifies of many threads, while coir's timers and I/O go on") {
  with_coir([] {
    constexpr int threads = 4, each = 500;
    bf::buffered_channel<int> channel(64);
    socket_pair pair;
    std::atomic<int> left{threads};
    std::vector<std::thread> pushers;
    for (int t = 0; t < threads; ++t)
      pushers.emplace_back([&] {
        for (int i = 0; i < each; ++i) channel.push(1);
        if (--left == 0) channel.close();
      });
    int sum = 0, ticks = 0, bytes = 0;
    bool over = false;
    bf::fiber consumer([&] {
      for (int one; channel.pop(one) == bf::channel_op_status::success;) sum += one;
      over = true;
      pair.close_end(1);
    });
    bf::fiber ticker([&] {
      while (!over) {
        ::usleep(100);
        ++ticks;
      }
    });
    bf::fiber reader([&] {
      for (char byte; ::recv(pair[0], &byte, 1, 0) == 1;) ++bytes;
    });
    bf::fiber writer([&] {
      for (int i = 0; i < 50 && !over; ++i) {
        ::send(pair[1], "x", 1, MSG_NOSIGNAL);
        boost::this_fiber::yield();
      }
    });
    for (bf::fiber* f : {&consumer, &ticker, &reader, &writer}) f->join();
    for (std::thread& t : pushers) t.join();
    CHECK(sum == threads * each);
    CHECK(bytes > 0);
  });
}

TEST_CASE("inspect: Boost fibers that wait in coir are listed with what they wait for") {
  with_coir([] {
    coir::event event;
    bf::fiber waiting([&] { event.wait(); });
    boost::this_fiber::yield();
    const std::string text = coir::inspect::dump();
    CHECK(text.find("\"Boost fiber\" parked in event") != std::string::npos);
    event.set();
    waiting.join();
    CHECK(coir::inspect::dump().find("Boost fiber") == std::string::npos);
  });
}

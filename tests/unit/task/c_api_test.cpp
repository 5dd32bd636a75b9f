#include <coir/coir.h>
#include <coir/coir.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "support/virtual_time.hpp"

using namespace unit;

namespace {

void* give_back(void* argument) {
  return argument;
}

void* sleep_a_second(void* error) {
  *static_cast<int*>(error) = coir_sleep(1'000'000'000);
  return error;
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "C: a fiber runs a function and join gives its result") {
  int value = 0;
  coir_fiber* f = coir_spawn(give_back, &value);
  REQUIRE(f != nullptr);
  void* result = nullptr;
  const int error = coir_join(f, &result);
  CHECK(error == 0);
  CHECK(result == &value);
}

TEST_CASE_METHOD(virtual_time, "C: join takes no result if none is wanted, detach lets it run") {
  CHECK(coir_join(coir_spawn(give_back, nullptr), nullptr) == 0);
  int error = -1;
  coir_detach(coir_spawn(sleep_a_second, &error));
  CHECK(coir_sleep(2'000'000'000) == 0);
  CHECK(error == 0);
  CHECK(elapsed() == 2s);
}

TEST_CASE_METHOD(virtual_time, "C: no function is EINVAL") {
  errno = 0;
  CHECK(coir_spawn(nullptr, nullptr) == nullptr);
  CHECK(errno == EINVAL);
}

TEST_CASE_METHOD(virtual_time, "C: a cancelled fiber's waits fail with ECANCELED, again and again") {
  static int errors[3];
  coir_fiber* f = coir_spawn(
      [](void*) -> void* {
        errors[0] = coir_sleep(1'000'000'000);
        errors[1] = coir_yield();
        errors[2] = coir_sleep(0);
        return errors;
      },
      nullptr);
  CHECK(coir_yield() == 0);
  coir_cancel(f);
  void* result = nullptr;
  CHECK(coir_join(f, &result) == 0);
  CHECK(result == errors);
  for (const int e : errors) CHECK(e == ECANCELED);
  CHECK(elapsed() == 0s);
}

TEST_CASE_METHOD(virtual_time, "C: a fiber cancelled before it began has no result") {
  int error = -1;
  coir_fiber* f = coir_spawn(sleep_a_second, &error);
  coir_cancel(f);
  void* result = &error;
  CHECK(coir_join(f, &result) == 0);
  CHECK(result == nullptr);
  CHECK(error == -1);
}

TEST_CASE_METHOD(virtual_time, "C: an interrupted join leaves the handle valid") {
  int error = -1;
  coir_fiber* f = coir_spawn(sleep_a_second, &error);
  {
    const coir::timeout limit(1ms);
    CHECK(coir_join(f, nullptr) == ETIMEDOUT);
    CHECK(coir_yield() == ETIMEDOUT);
    CHECK(coir_sleep(1) == ETIMEDOUT);
  }
  CHECK(coir_join(f, nullptr) == 0);
  CHECK(error == 0);
}

TEST_CASE_METHOD(virtual_time, "C: a fiber that joins itself gets EDEADLK") {
  static coir_fiber* self;
  static int error;
  error = 0;
  self = coir_spawn(
      [](void*) -> void* {
        error = coir_join(self, nullptr);
        return nullptr;
      },
      nullptr);
  CHECK(coir_join(self, nullptr) == 0);
  CHECK(error == EDEADLK);
}

TEST_CASE_METHOD(virtual_time, "C: a negative sleep is EINVAL") {
  CHECK(coir_sleep(-1) == EINVAL);
}

TEST_CASE_METHOD(virtual_time, "C: an exception raised by C++ code ends a wait with ECANCELED") {
  int error = -1;
  auto f = coir::spawn([&] { sleep_a_second(&error); });
  coir::this_fiber::yield();
  f.raise(std::runtime_error("x"));
  f.join();
  CHECK(error == ECANCELED);
}

#ifndef COIR_TSAN  // with which coir takes every process for one of several threads, which might wake one
TEST_CASE_METHOD(virtual_time, "C: a join that can never end is EDEADLK, and leaves the handle valid") {
  static coir::event* never;
  coir::event event;
  never = &event;
  coir_fiber* f = coir_spawn(
      [](void*) -> void* {
        never->wait();
        return nullptr;
      },
      nullptr);
  int error = 0;
  {
    const captured_stderr err;
    error = coir_join(f, nullptr);
  }
  CHECK(error == EDEADLK);
  event.set();
  CHECK(coir_join(f, nullptr) == 0);
}
#endif

#include "sys/kernel.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "catch.hpp"
#include "sys/raw.hpp"

using namespace coir::sys;

TEST_CASE("kernel: knows the size of a page") {
  CHECK(page_size() >= 4096);
  CHECK((page_size() & (page_size() - 1)) == 0);
}

TEST_CASE("kernel: a guard over what is not mapped is an error, not a crash") {
  const bool old_kernel = GENERATE(false, true);
  forbid_light_guards(old_kernel);
  void* page = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  CHECK(install_guard(page, page_size()) == 0);
  ::munmap(page, page_size());
  CHECK(install_guard(page, page_size()) == ENOMEM);
  forbid_light_guards(false);
}

TEST_CASE("kernel: light guards are probed, and can be forbidden") {
  forbid_light_guards(true);
  CHECK_FALSE(has_light_guards());
  forbid_light_guards(false);
  const bool first = has_light_guards();
  CHECK(has_light_guards() == first);
}

TEST_CASE("raw: gives the kernel's error and leaves errno alone") {
  errno = 123;
  CHECK(raw(SYS_close, -1) == -EBADF);
  CHECK(errno == 123);
  CHECK(raw(SYS_getpid) > 0);
}

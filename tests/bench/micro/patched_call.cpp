// What a patched libc call costs on a thread that has no fibers: read(-1) through libcoir-patch against the
// same call taken straight from libc. Both return EBADF at once from the kernel. The two alternate in short
// blocks and each pair gives one difference, so drift of the machine falls out; the result is the median of
// the differences.
//
// Prints nanoseconds: bare_read, patched_read, patched_read_overhead (the process has never used a fiber) and
// patched_read_overhead_beside_fibers (a plain thread, while the main thread has had fibers).

#include <coir/coir.hpp>

#include <dlfcn.h>

#include <cstring>
#include <thread>
#include <vector>

#include "measure.h"

namespace {

using read_function = ssize_t (*)(int, void*, size_t);

constexpr int calls_per_block = 500;
constexpr int pairs = 4001;

double block_ns(read_function function) {
  char byte = 0;
  const double start = wall_ns();
  for (int i = 0; i < calls_per_block; ++i) (void)function(-1, &byte, 1);
  return (wall_ns() - start) / calls_per_block;
}

double median(std::vector<double> values) {
  return median_of(values.data(), static_cast<int>(values.size()));
}

struct cost {
  double bare, patched, overhead;
};

cost compare(read_function bare, read_function patched) {
  std::vector<double> bares, patcheds, differences;
  for (int i = -100; i < pairs; ++i) {
    const bool patched_first = i % 2 == 0;
    const double first = block_ns(patched_first ? patched : bare);
    const double second = block_ns(patched_first ? bare : patched);
    if (i < 0) continue;  // warm-up
    patcheds.push_back(patched_first ? first : second);
    bares.push_back(patched_first ? second : first);
    differences.push_back(patcheds.back() - bares.back());
  }
  return {median(bares), median(patcheds), median(differences)};
}

const char* provider_of(read_function function) {
  Dl_info info{};
  return dladdr(reinterpret_cast<void*>(function), &info) != 0 && info.dli_fname != nullptr ? info.dli_fname
                                                                                            : "?";
}

const char* file_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

}  // namespace

int main() {
  void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc == nullptr) {
    std::fputs("libc.so.6 is not loaded\n", stderr);
    return 1;
  }
  const auto bare = reinterpret_cast<read_function>(dlsym(libc, "read"));
  read_function patched = ::read;
  asm volatile("" : "+r"(patched));  // both are calls through a pointer the compiler knows nothing about

  emit_begin("coir_patch");
  emit_string("patched_by", file_name(provider_of(patched)));
  const cost alone = compare(bare, patched);
  emit("bare_read", alone.bare);
  emit("patched_read", alone.patched);
  emit("patched_read_overhead", alone.overhead);

  coir::spawn([] {}).join();
  cost beside{};
  std::thread([&] { beside = compare(bare, patched); }).join();
  emit("patched_read_overhead_beside_fibers", beside.overhead);
  return emit_end();
}

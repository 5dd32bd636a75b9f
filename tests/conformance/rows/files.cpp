// Regular files and directories: never waited for by readiness, and never short of what there is.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "../row.hpp"
#include "../things.hpp"
#include "counted_signal.hpp"

using namespace conformance;

COIR_ROW("files: write and read back, with the position moving") {
  const descriptor f = scratch_file();
  char data[16] = {};
  COIR_OBSERVE(o, write(f, "hello world", 11));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
  COIR_OBSERVE(o, lseek(f, 6, SEEK_SET));
  COIR_OBSERVE(o, read(f, data, 3));
  o.say("%s", data);
  COIR_OBSERVE(o, read(f, data, sizeof data));
  COIR_OBSERVE(o, read(f, data, sizeof data));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
}

COIR_ROW("files: pread and pwrite leave the position alone") {
  const descriptor f = scratch_file("0123456789");
  char data[16] = {};
  COIR_OBSERVE(o, pread(f, data, 3, 4));
  o.say("%.3s", data);
  COIR_OBSERVE(o, pwrite(f, "ab", 2, 5));
  COIR_OBSERVE(o, pread(f, data, sizeof data, 0));
  o.say("%.10s", data);
  COIR_OBSERVE(o, pread(f, data, 5, 10));
  COIR_OBSERVE(o, pread(f, data, 5, 1000));
  COIR_OBSERVE(o, pread(f, data, 5, -1));
  COIR_OBSERVE(o, pwrite(f, data, 5, -5));
  COIR_OBSERVE(o, pwrite(f, "end", 3, 100));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_END));
}

COIR_ROW("files: readv, writev, preadv, pwritev and their second forms") {
  const descriptor f = scratch_file();
  char a[4] = {}, b[8] = {};
  iovec out[3] = {{const_cast<char*>("one"), 3}, {nullptr, 0}, {const_cast<char*>("two"), 3}};
  iovec in[2] = {{a, 2}, {b, 8}};
  COIR_OBSERVE(o, writev(f, out, 3));
  COIR_OBSERVE(o, pwritev(f, out, 3, 10));
  COIR_OBSERVE(o, pwritev2(f, out, 3, 20, 0));
  COIR_OBSERVE(o, pwritev2(f, out, 3, -1, 0));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_SET));
  COIR_OBSERVE(o, readv(f, in, 2));
  o.say("%.2s %.8s", a, b);
  COIR_OBSERVE(o, preadv(f, in, 2, 10));
  o.say("%.2s %.4s", a, b);
  COIR_OBSERVE(o, preadv2(f, in, 2, 20, 0));
  COIR_OBSERVE(o, preadv2(f, in, 2, -1, 0));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
  COIR_OBSERVE(o, preadv(f, in, 2, -1));
  COIR_OBSERVE(o, pwritev(f, out, 2, -1));
  COIR_OBSERVE(o, preadv2(f, in, 2, -2, 0));
  COIR_OBSERVE(o, preadv2(f, in, 2, 0, 0x40000000));
  COIR_OBSERVE(o, pwritev2(f, out, 2, 0, 0x40000000));
  COIR_OBSERVE(o, pwritev2(f, out, 3, 0, RWF_DSYNC));
  COIR_OBSERVE(o, pwritev2(f, out, 3, 0, RWF_APPEND));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_END));
}

COIR_ROW("files: the wrong numbers of iovecs") {
  const descriptor f = scratch_file("content");
  char data[4];
  iovec v = {data, 4};
  for (volatile int count : {0, -1, 1025}) {
    COIR_OBSERVE(o, readv(f, &v, count));
    COIR_OBSERVE(o, writev(f, &v, count));
    COIR_OBSERVE(o, preadv(f, &v, count, 0));
  }
  iovec huge = {data, ~std::size_t{0}};
  COIR_OBSERVE(o, readv(f, &huge, 1));
}

COIR_ROW("files: O_APPEND writes at the end, whoever else does") {
  const descriptor f = scratch_file("start", 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", static_cast<int>(f));
  const descriptor g(COIR_MUST(open(path, O_WRONLY | O_APPEND)));
  const auto append = [&](log& a) {
    for (int i = 0; i < 20; ++i)
      if (write(g, "0123456789", 10) != 10) a.say("write fails");
  };
  { flow first("first", append), second("second", append); }
  COIR_OBSERVE(o, lseek(f, 0, SEEK_END));
  COIR_OBSERVE(o, pwrite(g, "at the end all the same", 23, 0));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_END));
}

COIR_ROW("files: a large file is written and read whole by one call") {
  const std::string data = pattern(12 << 20);
  const descriptor f = scratch_file();
  COIR_OBSERVE(o, write(f, data.data(), data.size()));
  std::string got(data.size() + 100, '\0');
  COIR_OBSERVE(o, lseek(f, 0, SEEK_SET));
  COIR_OBSERVE(o, read(f, got.data(), got.size()));
  o.check(got.substr(0, data.size()) == data, "the content is right");
  COIR_MUST(fsync(f));
  posix_fadvise(f, 0, 0, POSIX_FADV_DONTNEED);  // now from the disk
  got.assign(data.size() + 100, '\0');
  COIR_OBSERVE(o, pread(f, got.data(), got.size(), 0));
  o.check(got.substr(0, data.size()) == data, "the content is right, cold");
  posix_fadvise(f, 0, 0, POSIX_FADV_DONTNEED);
  std::string half(data.size() / 2, '\0'), rest(data.size(), '\0');
  iovec v[2] = {{half.data(), half.size()}, {rest.data(), rest.size()}};
  COIR_OBSERVE(o, preadv(f, v, 2, 1000));
  o.check(half == data.substr(1000, half.size()), "the content is right by pieces");
}

COIR_ROW("files: others run while cold data is read") {
  const std::string data = pattern(24 << 20);
  const descriptor f = scratch_file(data);
  COIR_MUST(fsync(f));
  posix_fadvise(f, 0, 0, POSIX_FADV_DONTNEED);
  std::size_t total = 0;
  flow reader("reader", [&](log& r) {
    std::string piece(1 << 20, '\0');
    for (ssize_t n; (n = read(f, piece.data(), piece.size())) > 0;) total += static_cast<std::size_t>(n);
    r.say("read %zu bytes", total);
  });
}

COIR_ROW("files: directories say EISDIR, write-only and read-only files EBADF") {
  const scratch_path path("file");
  const descriptor directory(COIR_MUST(open("/", O_RDONLY | O_DIRECTORY)));
  const descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY | O_CREAT, 0600))),
      in(COIR_MUST(open(path.c_str(), O_RDONLY))), only_path(COIR_MUST(open(path.c_str(), O_PATH)));
  char data[16];
  COIR_OBSERVE(o, read(directory, data, sizeof data));
  COIR_OBSERVE(o, pread(directory, data, sizeof data, 0));
  COIR_OBSERVE(o, write(directory, data, 1));
  COIR_OBSERVE(o, read(out, data, sizeof data));
  COIR_OBSERVE(o, pread(out, data, sizeof data, 0));
  COIR_OBSERVE(o, write(in, data, 1));
  COIR_OBSERVE(o, pwrite(in, data, 1, 0));
  COIR_OBSERVE(o, read(only_path, data, 1));
  COIR_OBSERVE(o, write(only_path, data, 1));
}

COIR_ROW("files: a directory stream can be read while flows wait") {
  const both_ends e = make(kind::unix_stream);
  flow waiter("waiter", [&](log& r) {
    char data[8];
    COIR_OBSERVE(r, read(e.a, data, sizeof data));
  });
  settle();
  DIR* d = opendir("/proc/self");
  int entries = 0;
  while (readdir(d) != nullptr) ++entries;
  o.check(entries > 10, "entries are found");
  COIR_OBSERVE(o, closedir(d));
  write_all(e.b, "x");
}

COIR_ROW("files: zero bytes") {
  const descriptor f = scratch_file("content");
  char data[4];
  COIR_OBSERVE(o, read(f, data, 0));
  COIR_OBSERVE(o, write(f, data, 0));
  COIR_OBSERVE(o, pread(f, data, 0, 3));
  COIR_OBSERVE(o, pwrite(f, data, 0, 3));
  iovec v[2] = {{data, 0}, {nullptr, 0}};
  COIR_OBSERVE(o, readv(f, v, 2));
  COIR_OBSERVE(o, writev(f, v, 2));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
}

COIR_ROW("files: a size limit gives a short write, then EFBIG") {
  // RLIMIT_FSIZE is the process's; /dev/full and a memory file with a seal do the same here.
  const descriptor full(COIR_MUST(open("/dev/full", O_WRONLY)));
  COIR_OBSERVE(o, write(full, "x", 1));
  const descriptor sealed(COIR_MUST(memfd_create("row", MFD_ALLOW_SEALING)));
  COIR_OBSERVE(o, ftruncate(sealed, 10));
  COIR_OBSERVE(o, fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW));
  COIR_OBSERVE(o, write(sealed, "0123456789abcdef", 16));
  COIR_OBSERVE(o, write(sealed, "x", 1));
}

COIR_ROW("files: RWF_NOWAIT is the caller's own choice") {
  const descriptor f = scratch_file("content");
  char data[16];
  iovec v = {data, sizeof data};
  COIR_OBSERVE(o, preadv2(f, &v, 1, 0, RWF_NOWAIT));
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe}) {
    const both_ends e = make(k);
    const stopwatch since;
    COIR_OBSERVE(o, preadv2(e.a, &v, 1, -1, RWF_NOWAIT));
    COIR_OBSERVE(o, preadv2(e.a, &v, 1, 3, 0));
    o.took_no_time(since);
  }
}

COIR_ROW("files: two flows share one position") {
  const descriptor f = scratch_file(pattern(20'000));
  std::atomic<long> total{0};
  const auto read_it = [&](log&) {
    char data[100];
    for (ssize_t n; (n = read(f, data, sizeof data)) > 0;) total += n;
  };
  { flow first("first", read_it), second("second", read_it); }
  o.say("%ld bytes", total.load());
}

namespace {

constexpr int record_words = 2500;  // larger than a page, and none of their ends at one of its
using record = std::array<std::uint32_t, record_words>;

// An unlinked file of `count` records of which each says its number everywhere, none of them in memory.
descriptor cold_records(int count) {
  std::string data;
  for (int i = 0; i < count; ++i) {
    record r;
    r.fill(static_cast<std::uint32_t>(i));
    data.append(reinterpret_cast<const char*>(r.data()), sizeof r);
  }
  descriptor f = scratch_file(data);
  COIR_MUST(fsync(f));
  posix_fadvise(f, 0, 0, POSIX_FADV_RANDOM);
  posix_fadvise(f, 0, 0, POSIX_FADV_DONTNEED);
  COIR_MUST(lseek(f, 0, SEEK_SET));
  return f;
}

}  // namespace

COIR_ROW("files: several flows that share a position read each cold record once, and whole") {
  for (const bool in_parts : {false, true}) {
    constexpr int count = 300;
    const descriptor f = cold_records(count);
    std::array<std::atomic<int>, count> seen{};
    std::atomic<int> torn{0};
    const auto read_it = [&](log&) {
      record r;
      const std::span<char> all(reinterpret_cast<char*>(r.data()), sizeof r);
      iovec v[2] = {{all.data(), 3000}, {all.data() + 3000, all.size() - 3000}};
      while ((in_parts ? readv(f, v, 2) : read(f, r.data(), sizeof r)) == sizeof r) {
        if (r[0] < count) ++seen[r[0]];
        torn += std::ranges::count(r, r[0]) != record_words;
      }
    };
    { flow a("a", read_it), b("b", read_it), c("c", read_it), d("d", read_it); }
    o.say("%s: %ld records once, %d torn", in_parts ? "readv" : "read",
          static_cast<long>(std::ranges::count_if(seen, [](const auto& n) { return n == 1; })), torn.load());
  }
}

COIR_ROW("files: several flows that share a position write every record, and whole") {
  const descriptor f = scratch_file();
  const auto writer = [&](std::uint32_t who) {
    return [&f, who](log& w) {
      record r;
      r.fill(who);
      char* bytes = reinterpret_cast<char*>(r.data());
      iovec v[2] = {{bytes, 3000}, {bytes + 3000, sizeof r - 3000}};
      for (int i = 0; i < 20; ++i)
        w.check((i % 2 == 0 ? write(f, bytes, sizeof r) : writev(f, v, 2)) == sizeof r,
                "it is written whole");
    };
  };
  { flow a("a", writer(1)), b("b", writer(2)), c("c", writer(3)), d("d", writer(4)); }
  int torn = 0, count = 0;
  for (record r; pread(f, r.data(), sizeof r, static_cast<off_t>(sizeof r) * count) == sizeof r; ++count)
    torn += std::ranges::count(r, r[0]) != record_words;
  o.say("%d records, %d torn", count, torn);
}

COIR_ROW_WITH(own_process, "files: processes that share a position write every line, and read each once") {
  const descriptor log_file = scratch_file(), work = cold_records(60), taken = scratch_file();
  pid_t children[3];
  for (pid_t& child : children) {
    child = COIR_MUST(fork());
    if (child != 0) continue;
    for (int i = 0; i < 100; ++i)
      if (write(log_file, "a line of the log, 32 bytes....\n", 32) != 32) _exit(1);
    for (record r; read(work, r.data(), sizeof r) == sizeof r;)
      if (write(taken, r.data(), 4) != 4) _exit(1);
    _exit(0);
  }
  for (const pid_t child : children) {
    int status = -1;
    COIR_MUST(waitpid(child, &status, 0));
    o.say("status %d", status);
  }
  o.say("%ld bytes of lines, %ld records", static_cast<long>(lseek(log_file, 0, SEEK_END)),
        static_cast<long>(lseek(taken, 0, SEEK_END)) / 4);
}

COIR_ROW_WITH(own_process, "files: devices of the kernel's memory give all that is asked for") {
  std::vector<char> room(8 << 20);
  const auto size = static_cast<ssize_t>(room.size());
  // Another process wants the same processor, so the kernel would like to change in the middle of a read.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
  COIR_MUST(sched_setaffinity(0, sizeof one, &one));
  const pid_t rival = COIR_MUST(fork());
  if (rival == 0) {
    alarm(10);
    for (;;) asm volatile("");
  }
  flow neighbour("neighbour", [&](log&) { nap(1); });
  for (const char* path : {"/dev/zero", "/dev/full"}) {
    const descriptor f(COIR_MUST(open(path, O_RDWR)));
    int whole = 0;
    for (int i = 0; i < 10; ++i) whole += read(f, room.data(), room.size()) == size;
    for (int i = 0; i < 10; ++i) whole += pread(f, room.data(), room.size(), 4096) == size;
    o.say("%s: %d of 20 whole", path, whole);
    COIR_OBSERVE(o, write(f, "x", 1));
  }
  const descriptor null(COIR_MUST(open("/dev/null", O_RDWR)));
  COIR_OBSERVE(o, read(null, room.data(), 10));
  COIR_OBSERVE(o, write(null, room.data(), room.size()));
  const descriptor random(COIR_MUST(open("/dev/urandom", O_RDONLY)));
  COIR_OBSERVE(o, read(random, room.data(), 100'000));
  kill(rival, SIGKILL);
  int status = 0;
  COIR_MUST(waitpid(rival, &status, 0));
}

COIR_ROW_WITH(own_process,
              "files: a write that RLIMIT_FSIZE cuts short raises no signal, the next one does") {
  const counted_signal counted(SIGXFSZ);
  rlimit before;
  COIR_MUST(getrlimit(RLIMIT_FSIZE, &before));
  const rlimit small = {1000, before.rlim_max};
  char data[2000] = {};
  iovec v[2] = {{data, 1000}, {data + 1000, 1000}};
  for (const bool in_memory : {false, true}) {
    const descriptor f = in_memory ? descriptor(COIR_MUST(memfd_create("row", 0))) : scratch_file();
    COIR_MUST(setrlimit(RLIMIT_FSIZE, &small));
    COIR_OBSERVE(o, pwrite(f, data, 2000, 0));
    COIR_OBSERVE(o, write(f, data, 2000));
    COIR_OBSERVE(o, lseek(f, 500, SEEK_SET));
    COIR_OBSERVE(o, writev(f, v, 2));
    COIR_OBSERVE(o, pwritev(f, v, 2, 10));
    o.say("%d signals", signals_here.load());
    COIR_OBSERVE(o, pwrite(f, data, 1, 1000));
    o.say("%d signals", signals_here.load());
    COIR_MUST(setrlimit(RLIMIT_FSIZE, &before));
  }
}

COIR_ROW("files: more than there can be is refused as the kernel does") {
  const descriptor f = scratch_file("0123456789");
  const both_ends e = make(kind::pipe);
  char data[16];
  COIR_OBSERVE(o, read(f, data, SIZE_MAX));
  COIR_OBSERVE(o, read(e.a, data, SIZE_MAX));
  COIR_OBSERVE(o, write(e.b, data, SIZE_MAX));
}

// Opening FIFOs: who opens one side waits for the other, and the others run.
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

extern "C" {
int plain_open(const char*, int, ...) __asm__("open");
int wide_open(const char*, int, ...) __asm__("open64");
int plain_openat(int, const char*, int, ...) __asm__("openat");
int wide_openat(int, const char*, int, ...) __asm__("openat64");
int plain_creat(const char*, mode_t) __asm__("creat");
int wide_creat(const char*, mode_t) __asm__("creat64");
int checked_open(const char*, int) __asm__("__open_2");
int wide_checked_open(const char*, int) __asm__("__open64_2");
int checked_openat(int, const char*, int) __asm__("__openat_2");
int wide_checked_openat(int, const char*, int) __asm__("__openat64_2");
}

namespace {

// "opened", or the errno; the descriptor is the caller's.
descriptor opened(log& o, const char* what, int fd) {
  o.say("%s: %s", what, fd >= 0 ? "opened" : name_of_error(errno));
  return descriptor(fd);
}

// Opens the FIFO to read in a flow of its own, and reads to the end.
std::unique_ptr<flow> reader_of(const char* path) {
  return std::make_unique<flow>("reader", [path](log& r) {
    const descriptor in = opened(r, "read", open(path, O_RDONLY));
    r.say("%s", read_all(in).c_str());
  });
}

// Makes an opening call, which is to wait, and then opens the other side.
template <class Call>
void waits(log& o, const char* what, int other_side, Call call) {
  const fifo path;
  flow waiter(what, [&](log& w) {
    errno = untouched;
    const descriptor mine(call(path.c_str()));
    w.check(mine >= 0 && errno == untouched, "opened, and errno is as it was");
    w.say("flags %x, close on exec %d", fcntl(mine, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND),
          fcntl(mine, F_GETFD));
  });
  settle();
  o.say("%s: %s", what, waiter.state());
  const descriptor other(COIR_MUST(open(path.c_str(), other_side)));
  waiter.join();
}

}  // namespace

COIR_ROW("FIFO: the reader opens first and waits for the writer") {
  const fifo path;
  const auto reader = reader_of(path.c_str());
  settle();
  o.say("the reader %s", reader->state());
  descriptor out = opened(o, "write", open(path.c_str(), O_WRONLY));
  COIR_OBSERVE(o, write(out, "once", 4));
  settle();
  o.say("the reader %s", reader->state());
  COIR_OBSERVE(o, write(out, " and again", 10));
  out.close();
  reader->join();
}

COIR_ROW("FIFO: the writer opens first and waits for the reader") {
  const fifo path;
  flow writer("writer", [&](log& w) {
    const descriptor out = opened(w, "write", open(path.c_str(), O_WRONLY));
    w.check(write_all(out, "from the writer"), "write");
  });
  settle();
  o.say("the writer %s", writer.state());
  const descriptor in = opened(o, "read", open(path.c_str(), O_RDONLY));
  o.say("%s", read_all(in).c_str());
  writer.join();
}

COIR_ROW("FIFO: a writer that writes nothing is enough") {
  const fifo path;
  descriptor in;
  flow reader("reader", [&](log& r) { in = opened(r, "read", open(path.c_str(), O_RDONLY)); });
  settle();
  o.say("the reader %s", reader.state());
  const descriptor out = opened(o, "write", open(path.c_str(), O_WRONLY));
  for (const stopwatch since; since.milliseconds() < 500 && !reader.done();) nap(10);
  o.say("the reader %s", reader.state());
  write_all(out, "x");
  reader.join();
  o.say("%s", read_all(in, 1).c_str());
}

COIR_ROW("FIFO: two cross over, each waits for what the other opens last") {
  const fifo there, back;
  flow answerer("answerer", [&](log& a) {
    const descriptor in = opened(a, "read", open(there.c_str(), O_RDONLY));
    const descriptor out = opened(a, "write", open(back.c_str(), O_WRONLY));
    std::string text = read_all(in, 5);
    for (char& c : text) c = static_cast<char>(c - 32);
    write_all(out, text);
  });
  const descriptor out = opened(o, "write", open(there.c_str(), O_WRONLY));
  const descriptor in = opened(o, "read", open(back.c_str(), O_RDONLY));
  write_all(out, "hello");
  o.say("%s", read_all(in).c_str());
}

COIR_ROW("FIFO: a writer that comes and leaves ends the wait, with data or without") {
  for (const char* data : {"", "left behind"}) {
    const fifo path;
    const auto reader = reader_of(path.c_str());
    settle();
    descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY)));
    o.check(*data == '\0' || write_all(out, data), "write");
    out.close();
    reader->join();
  }
}

COIR_ROW("FIFO: after the wait a poll says what it would have said") {
  const fifo path;
  flow reader("reader", [&](log& r) {
    const descriptor in(open(path.c_str(), O_RDONLY));
    pollfd p = {in, POLLIN, 0};
    r.say("%d, %x", poll(&p, 1, 1000), static_cast<unsigned>(p.revents));
    char c;
    COIR_OBSERVE(r, read(in, &c, 1));
  });
  settle();
  descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY)));
  out.close();
}

COIR_ROW("FIFO: another process comes to write, and one to read") {
  const fifo path;
  stopwatch since;
  const pid_t writer = COIR_MUST(fork());
  if (writer == 0) {
    usleep(40'000);
    const descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY)));
    _exit(write_all(out, "from a child") ? 0 : 1);
  }
  {
    const descriptor in = opened(o, "read", open(path.c_str(), O_RDONLY));
    o.took(since, 40);
    o.say("%s", read_all(in).c_str());
  }
  since.restart();
  const pid_t reader = COIR_MUST(fork());
  if (reader == 0) {
    usleep(40'000);
    const descriptor in(COIR_MUST(open(path.c_str(), O_RDONLY)));
    _exit(read_all(in) == "to a child" ? 0 : 1);
  }
  {
    const descriptor out = opened(o, "write", open(path.c_str(), O_WRONLY));
    o.took(since, 40);
    write_all(out, "to a child");
  }
  for (const pid_t child : {writer, reader}) {
    int status = -1;
    while (waitpid(child, &status, 0) < 0) {
    }
    o.say("status %d", status);
  }
}

COIR_ROW("FIFO: who need not wait does not") {
  const fifo path;
  const stopwatch since;
  COIR_OBSERVE(o, open(path.c_str(), O_WRONLY | O_NONBLOCK));
  COIR_OBSERVE(o, open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL, 0600));
  COIR_OBSERVE(o, open(path.c_str(), O_RDONLY | O_DIRECTORY));
  COIR_OBSERVE(o, open(path.c_str(), O_ACCMODE));
  const descriptor place = opened(o, "path", open(path.c_str(), O_PATH));
  const descriptor in = opened(o, "read", open(path.c_str(), O_RDONLY | O_NONBLOCK));
  o.check(is_nonblocking(in), "the user's own O_NONBLOCK stays");
  const descriptor both = opened(o, "both", open(path.c_str(), O_RDWR));
  const descriptor reader = opened(o, "read", open(path.c_str(), O_RDONLY));
  const descriptor writer = opened(o, "write", open(path.c_str(), O_WRONLY | O_TRUNC | O_CREAT, 0600));
  o.took_no_time(since);
}

COIR_ROW("FIFO: a pipe without a name is opened again at once") {
  both_ends p = make(kind::pipe);
  const std::string in = "/proc/self/fd/" + std::to_string(p.a), out = "/proc/self/fd/" + std::to_string(p.b);
  const stopwatch since;
  const descriptor again = opened(o, "write", open(out.c_str(), O_WRONLY));
  write_all(again, "hello");
  p.b.close();
  const descriptor reader = opened(o, "read", open(in.c_str(), O_RDONLY));
  o.say("%s", read_all(reader, 5).c_str());
  p.a.close();
  o.took_no_time(since);
  both_ends q = make(kind::pipe);
  q.b.close();
  const std::string left = "/proc/self/fd/" + std::to_string(q.a);
  const descriptor last = opened(o, "read", open(left.c_str(), O_RDONLY));
  o.say("%s", read_all(last).c_str());
  o.took_no_time(since);
}

COIR_ROW("FIFO: each name that opens waits, and the flags are as asked") {
  waits(o, "open", O_WRONLY, [](const char* p) { return plain_open(p, O_RDONLY); });
  waits(o, "open64", O_RDONLY, [](const char* p) { return wide_open(p, O_WRONLY | O_CLOEXEC); });
  waits(o, "openat", O_WRONLY, [](const char* p) { return plain_openat(-1, p, O_RDONLY | O_CLOEXEC); });
  waits(o, "openat64", O_RDONLY, [](const char* p) { return wide_openat(AT_FDCWD, p, O_WRONLY | O_APPEND); });
  waits(o, "creat", O_RDONLY, [](const char* p) { return plain_creat(p, 0600); });
  waits(o, "creat64", O_RDONLY, [](const char* p) { return wide_creat(p, 0600); });
  waits(o, "__open_2", O_WRONLY, [](const char* p) { return checked_open(p, O_RDONLY); });
  waits(o, "__open64_2", O_RDONLY, [](const char* p) { return wide_checked_open(p, O_WRONLY); });
  waits(o, "__openat_2", O_WRONLY, [](const char* p) { return checked_openat(-1, p, O_RDONLY); });
  waits(o, "__openat64_2", O_RDONLY, [](const char* p) { return wide_checked_openat(-1, p, O_WRONLY); });
  waits(o, "syscall", O_WRONLY, [](const char* p) {
    return static_cast<int>(syscall(SYS_openat, AT_FDCWD, p, O_RDONLY | O_CLOEXEC, 0));
  });
}

COIR_ROW("FIFO: by a directory's descriptor and a symbolic link") {
  const fifo path;
  const std::string directory(path.c_str(), strrchr(path.c_str(), '/'));
  const descriptor place(COIR_MUST(open(directory.c_str(), O_RDONLY | O_DIRECTORY)));
  COIR_MUST(symlinkat("fifo", place, "link"));
  flow reader("reader", [&](log& r) {
    const descriptor in = opened(r, "read", openat(place, "link", O_RDONLY));
    r.say("%s", read_all(in).c_str());
  });
  settle();
  o.say("the reader %s", reader.state());
  COIR_OBSERVE(o, openat(place, "link", O_WRONLY | O_NOFOLLOW));
  const descriptor out = opened(o, "write", openat(place, "fifo", O_WRONLY | O_NOFOLLOW));
  write_all(out, "by the link");
  COIR_MUST(unlinkat(place, "link", 0));
}

COIR_ROW("FIFO: the descriptor is the lowest number that was free") {
  const fifo path;
  flow writer("writer", [&](log&) {
    nap(20);
    const descriptor out(open(path.c_str(), O_WRONLY));
    nap(20);
  });
  settle();
  const int lowest = COIR_MUST(dup(0));
  close(lowest);
  const descriptor in(COIR_MUST(open(path.c_str(), O_RDONLY)));
  o.check(in == lowest || !on_fibers(), "the lowest");
  writer.join();
}

COIR_ROW_WITH(bad_reads, "open: what cannot be opened fails at once, and as ever") {
  const fifo path;
  const scratch_path nothing("nothing");
  const stopwatch since;
  for (const int flags : {O_RDONLY, O_WRONLY}) {
    COIR_OBSERVE(o, open(nothing.c_str(), flags));
    COIR_OBSERVE(o, open((path.c_str() + std::string("/below")).c_str(), flags));
    COIR_OBSERVE(o, open("", flags));
    COIR_OBSERVE(o, open(std::string(5000, 'x').c_str(), flags));
    COIR_OBSERVE(o, open(bad_pointer<char>(8), flags));
    COIR_OBSERVE(o, openat(closed_number(), "fifo", flags));
    COIR_OBSERVE(o, openat(0, "fifo", flags));
  }
  COIR_OBSERVE(o, open("/", O_WRONLY));
  COIR_OBSERVE(o, open("/proc/self/comm", O_RDONLY | O_CREAT | O_EXCL, 0600));
  o.took_no_time(since);
}

COIR_ROW_WITH(own_process, "open: a FIFO without permission") {
  const fifo path;
  const std::string directory(path.c_str(), strrchr(path.c_str(), '/'));
  COIR_MUST(chmod(directory.c_str(), 0755));
  COIR_MUST(chmod(path.c_str(), 0));
  const bool was_root = geteuid() == 0;
  if (was_root) COIR_MUST(seteuid(65534));
  const stopwatch since;
  COIR_OBSERVE(o, open(path.c_str(), O_RDONLY));
  COIR_OBSERVE(o, open(path.c_str(), O_WRONLY));
  COIR_OBSERVE(o, open(path.c_str(), O_RDWR));
  o.took_no_time(since);
  if (was_root) COIR_MUST(seteuid(0));
}

COIR_ROW("open: the mode of a new file, less the umask") {
  const auto mode_of = [&](int fd, const char* what) {
    struct stat st = {};
    const descriptor d(fd);
    o.say("%s: %d, mode %o", what, fstat(d, &st), st.st_mode & 07777);
  };
  const scratch_path a("a"), b("b"), c("c"), d("d"), e("e");
  mode_of(open(a.c_str(), O_CREAT | O_WRONLY, 0640), "open");
  mode_of(open64(b.c_str(), O_CREAT | O_RDWR | O_EXCL, 0777), "open64");
  mode_of(openat(AT_FDCWD, c.c_str(), O_CREAT | O_RDONLY, 0400), "openat");
  mode_of(creat(d.c_str(), 0666), "creat");
  mode_of(open("/tmp", O_TMPFILE | O_RDWR, 0604), "without a name");
  mode_of(static_cast<int>(syscall(SYS_openat, AT_FDCWD, e.c_str(), O_CREAT | O_WRONLY, 0620)), "syscall");
  const descriptor once(COIR_MUST(open(a.c_str(), O_WRONLY)));
  write_all(once, "some text");
  const descriptor twice = opened(o, "truncated", open(a.c_str(), O_WRONLY | O_TRUNC));
  o.say("%ld bytes", static_cast<long>(lseek(twice, 0, SEEK_END)));
}

COIR_ROW("FIFO: a hundred flows open a hundred") {
  constexpr std::size_t count = 100;
  const scratch_path place("fifo");
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < count; ++i) {
    paths.push_back(place.c_str() + std::to_string(i));
    COIR_MUST(mkfifo(paths[i].c_str(), 0600));
  }
  std::atomic<int> right{0};
  {
    std::vector<std::unique_ptr<flow>> flows;
    for (std::size_t i = 0; i < count; ++i)
      flows.push_back(std::make_unique<flow>("opener", [&, i](log&) {
        const descriptor mine(open(paths[i].c_str(), i % 2 == 0 ? O_RDONLY : O_WRONLY));
        right += i % 2 == 0 ? read_all(mine) == paths[i] : write_all(mine, paths[i]);
      }));
    settle();
    for (std::size_t i = 0; i < count; ++i) {
      const descriptor other(COIR_MUST(open(paths[i].c_str(), i % 2 == 0 ? O_WRONLY : O_RDONLY)));
      right += i % 2 == 0 ? write_all(other, paths[i]) : read_all(other) == paths[i];
    }
  }
  for (const std::string& path : paths) unlink(path.c_str());
  o.say("%d right", right.load());
}

COIR_ROW("FIFO: who reads before it ever had a writer finds its end, and waits once there is one") {
  const fifo path;
  const descriptor in(COIR_MUST(open(path.c_str(), O_RDONLY | O_NONBLOCK)));
  set_nonblocking(in, false);
  char data[16] = {};
  for (int i = 0; i < 2; ++i) COIR_OBSERVE(o, read(in, data, sizeof data));
  const descriptor both(COIR_MUST(open(path.c_str(), O_RDWR)));
  {
    flow reader("reader", [&](log& r) { COIR_OBSERVE(r, read(in, data, 3)); });
    settle();
    o.say("the reader %s", reader.state());
    COIR_OBSERVE(o, write(both, "hello", 5));
  }
  COIR_OBSERVE(o, read(both, data, sizeof data));
  {
    flow reader("reader of both", [&](log& r) { COIR_OBSERVE(r, read(both, data, sizeof data)); });
    settle();
    o.say("the reader %s", reader.state());
    COIR_OBSERVE(o, write(both, "again", 5));
  }
  o.say("%.5s", data);
}

COIR_ROW("FIFO: that it has no positions is said at once, also after it was read") {
  const fifo path;
  const descriptor both(COIR_MUST(open(path.c_str(), O_RDWR)));
  char data[16] = {};
  const iovec v = {data, sizeof data};
  for (int i = 0; i < 2; ++i) {
    COIR_OBSERVE(o, pread(both, data, sizeof data, 0));
    COIR_OBSERVE(o, preadv(both, &v, 1, 0));
    COIR_OBSERVE(o, pwrite(both, data, sizeof data, 0));
    COIR_OBSERVE(o, write(both, "hello", 5));
    COIR_OBSERVE(o, read(both, data, sizeof data));
  }
}

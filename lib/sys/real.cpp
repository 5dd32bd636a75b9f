#include "sys/real.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/check.hpp"
#include "sys/raw.hpp"

extern "C" int _IO_fclose(FILE* f);

// The next definition of a name behind coir-patch, wherever that was linked. Null without it.
extern "C" __attribute__((weak)) void* coir_patch_behind(const char* name);

// There in programs whose hooks have libc's names (patch/own_names.cpp): all but fully static ones. What the
// linker calls __real_NAME is the hook then.
extern "C" __attribute__((weak)) const char coir_patch_own_names;

#define COIR_LATE(result, name, parameters, arguments, static_name) \
  extern "C" __attribute__((weak)) result static_name parameters;
#include "sys/late.def"
#undef COIR_LATE

// The fallbacks below serve until coir-patch's constructor has run, and in fully static programs.

namespace coir::sys {
namespace {

template <class R = int>
R answer(long r) noexcept {
  if (r >= 0) return static_cast<R>(r);
  errno = static_cast<int>(-r);
  return static_cast<R>(-1);
}

void raw_exit(int status) {
  for (;;) raw(SYS_exit_group, status);
}
ssize_t raw_read(int fd, void* b, size_t n) {
  return answer<ssize_t>(raw(SYS_read, fd, word(b), static_cast<long>(n)));
}
ssize_t raw_write(int fd, const void* b, size_t n) {
  return answer<ssize_t>(raw(SYS_write, fd, word(b), static_cast<long>(n)));
}
ssize_t raw_readv(int fd, const iovec* v, int n) {
  return answer<ssize_t>(raw(SYS_readv, fd, word(v), n));
}
ssize_t raw_writev(int fd, const iovec* v, int n) {
  return answer<ssize_t>(raw(SYS_writev, fd, word(v), n));
}
ssize_t raw_pread(int fd, void* b, size_t n, off_t at) {
  return answer<ssize_t>(raw(SYS_pread64, fd, word(b), static_cast<long>(n), at));
}
ssize_t raw_pwrite(int fd, const void* b, size_t n, off_t at) {
  return answer<ssize_t>(raw(SYS_pwrite64, fd, word(b), static_cast<long>(n), at));
}
ssize_t raw_preadv(int fd, const iovec* v, int n, off_t at) {
  return answer<ssize_t>(raw(SYS_preadv, fd, word(v), n, at, 0));
}
ssize_t raw_pwritev(int fd, const iovec* v, int n, off_t at) {
  return answer<ssize_t>(raw(SYS_pwritev, fd, word(v), n, at, 0));
}
ssize_t raw_preadv2(int fd, const iovec* v, int n, off_t at, int flags) {
  return answer<ssize_t>(raw(SYS_preadv2, fd, word(v), n, at, 0, flags));
}
ssize_t raw_pwritev2(int fd, const iovec* v, int n, off_t at, int flags) {
  return answer<ssize_t>(raw(SYS_pwritev2, fd, word(v), n, at, 0, flags));
}
ssize_t raw_recv(int fd, void* b, size_t n, int flags) {
  return answer<ssize_t>(raw(SYS_recvfrom, fd, word(b), static_cast<long>(n), flags, 0, 0));
}
ssize_t raw_recvfrom(int fd, void* b, size_t n, int flags, sockaddr* a, socklen_t* l) {
  return answer<ssize_t>(raw(SYS_recvfrom, fd, word(b), static_cast<long>(n), flags, word(a), word(l)));
}
ssize_t raw_recvmsg(int fd, msghdr* m, int flags) {
  return answer<ssize_t>(raw(SYS_recvmsg, fd, word(m), flags));
}
int raw_recvmmsg(int fd, mmsghdr* m, unsigned n, int flags, timespec* t) {
  return answer<int>(raw(SYS_recvmmsg, fd, word(m), n, flags, word(t)));
}
ssize_t raw_send(int fd, const void* b, size_t n, int flags) {
  return answer<ssize_t>(raw(SYS_sendto, fd, word(b), static_cast<long>(n), flags, 0, 0));
}
ssize_t raw_sendto(int fd, const void* b, size_t n, int flags, const sockaddr* a, socklen_t l) {
  return answer<ssize_t>(raw(SYS_sendto, fd, word(b), static_cast<long>(n), flags, word(a), l));
}
ssize_t raw_sendmsg(int fd, const msghdr* m, int flags) {
  return answer<ssize_t>(raw(SYS_sendmsg, fd, word(m), flags));
}
int raw_sendmmsg(int fd, mmsghdr* m, unsigned n, int flags) {
  return answer<int>(raw(SYS_sendmmsg, fd, word(m), n, flags));
}
int raw_connect(int fd, const sockaddr* a, socklen_t l) {
  return answer<int>(raw(SYS_connect, fd, word(a), l));
}
int raw_accept(int fd, sockaddr* a, socklen_t* l) {
  return answer<int>(raw(SYS_accept4, fd, word(a), word(l), 0));
}
int raw_accept4(int fd, sockaddr* a, socklen_t* l, int flags) {
  return answer<int>(raw(SYS_accept4, fd, word(a), word(l), flags));
}
int raw_sigaltstack(const stack_t* now, stack_t* before) {
  return answer<int>(raw(SYS_sigaltstack, word(now), word(before)));
}
int raw_socket(int domain, int type, int protocol) {
  return answer<int>(raw(SYS_socket, domain, type, protocol));
}
int raw_setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
  return answer<int>(raw(SYS_setsockopt, fd, level, name, word(value), size));
}
int raw_epoll_wait(int fd, epoll_event* e, int n, int timeout_ms) {
  return answer<int>(raw(SYS_epoll_pwait, fd, word(e), n, timeout_ms, 0, 8));
}
int raw_epoll_pwait(int fd, epoll_event* e, int n, int timeout_ms, const sigset_t* mask) {
  return answer<int>(raw(SYS_epoll_pwait, fd, word(e), n, timeout_ms, word(mask), 8));
}
int raw_epoll_pwait2(int fd, epoll_event* e, int n, const timespec* t, const sigset_t* mask) {
  return answer<int>(raw(SYS_epoll_pwait2, fd, word(e), n, word(t), word(mask), 8));
}
ssize_t raw_sendfile(int out, int in, off_t* at, size_t n) {
  return answer<ssize_t>(raw(SYS_sendfile, out, in, word(at), static_cast<long>(n)));
}
ssize_t raw_splice(int in, off64_t* in_at, int out, off64_t* out_at, size_t n, unsigned flags) {
  return answer<ssize_t>(raw(SYS_splice, in, word(in_at), out, word(out_at), static_cast<long>(n), flags));
}
ssize_t raw_tee(int in, int out, size_t n, unsigned flags) {
  return answer<ssize_t>(raw(SYS_tee, in, out, static_cast<long>(n), flags));
}
ssize_t raw_vmsplice(int fd, const iovec* v, size_t n, unsigned flags) {
  return answer<ssize_t>(raw(SYS_vmsplice, fd, word(v), static_cast<long>(n), flags));
}
ssize_t raw_copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t n, unsigned flags) {
  return answer<ssize_t>(
      raw(SYS_copy_file_range, in, word(in_at), out, word(out_at), static_cast<long>(n), flags));
}
int raw_nanosleep(const timespec* t, timespec* left) {
  return answer<int>(raw(SYS_nanosleep, word(t), word(left)));
}
int raw_sched_yield() {
  return answer<int>(raw(SYS_sched_yield));
}
int raw_close(int fd) {
  return answer<int>(raw(SYS_close, fd));
}
int raw_close_range(unsigned first, unsigned last, int flags) {
  return answer<int>(raw(SYS_close_range, first, last, flags));
}
int raw_dup3(int from, int to, int flags) {
  return answer<int>(raw(SYS_dup3, from, to, flags));
}
int raw_shutdown(int fd, int how) {
  return answer<int>(raw(SYS_shutdown, fd, how));
}

int raw_openat(int directory, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);  // coir's own callers always pass one
  va_end(rest);
  return answer<int>(raw(SYS_openat, directory, word(path), flags, mode));
}
int raw_open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return raw_openat(AT_FDCWD, path, flags, mode);
}
// Called for flags that need a mode which is not there.
int no_openat_2(int, const char*, int) {
  base::misused("open was called with O_CREAT or O_TMPFILE, but without a mode");
}
int no_open_2(const char*, int) {
  return no_openat_2(0, nullptr, 0);
}
ssize_t raw_getrandom(void* b, size_t n, unsigned flags) {
  return answer<ssize_t>(raw(SYS_getrandom, word(b), static_cast<long>(n), static_cast<long>(flags)));
}
int raw_getentropy(void* b, size_t n) {
  if (n > 256) return answer(-EIO);
  for (size_t done = 0; done < n;) {
    const ssize_t r = raw_getrandom(static_cast<char*>(b) + done, n - done, 0);
    if (r < 0 && errno != EINTR) return -1;
    if (r > 0) done += static_cast<size_t>(r);
  }
  return 0;
}

int raw_flock(int fd, int operation) {
  return answer<int>(raw(SYS_flock, fd, operation));
}
int raw_fsync(int fd) {
  return answer<int>(raw(SYS_fsync, fd));
}
int raw_fdatasync(int fd) {
  return answer<int>(raw(SYS_fdatasync, fd));
}
pid_t raw_wait4(pid_t pid, int* status, int options, rusage* usage) {
  return answer<pid_t>(raw(SYS_wait4, pid, word(status), options, word(usage)));
}
pid_t raw_wait(int* status) {
  return raw_wait4(-1, status, 0, nullptr);
}
pid_t raw_waitpid(pid_t pid, int* status, int options) {
  return raw_wait4(pid, status, options, nullptr);
}
pid_t raw_wait3(int* status, int options, rusage* usage) {
  return raw_wait4(-1, status, options, usage);
}
int raw_waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  return answer<int>(raw(SYS_waitid, type, id, word(info), options, 0));
}
int raw_execveat(int directory, const char* path, char* const* arguments, char* const* environment,
                 int flags) {
  return answer<int>(raw(SYS_execveat, directory, word(path), word(arguments), word(environment), flags));
}
int raw_execve(const char* path, char* const* arguments, char* const* environment) {
  return answer<int>(raw(SYS_execve, word(path), word(arguments), word(environment)));
}
int raw_fexecve(int fd, char* const* arguments, char* const* environment) {
  return raw_execveat(fd, "", arguments, environment, AT_EMPTY_PATH);
}
ssize_t raw_msgrcv(int queue, void* message, size_t size, long type, int flags) {
  return answer<ssize_t>(raw(SYS_msgrcv, queue, word(message), static_cast<long>(size), type, flags));
}
int raw_msgsnd(int queue, const void* message, size_t size, int flags) {
  return answer<int>(raw(SYS_msgsnd, queue, word(message), static_cast<long>(size), flags));
}
int raw_semtimedop(int set, sembuf* operations, size_t count, const timespec* t) {
  return answer<int>(raw(SYS_semtimedop, set, word(operations), static_cast<long>(count), word(t)));
}
int raw_semop(int set, sembuf* operations, size_t count) {
  return raw_semtimedop(set, operations, count, nullptr);
}
ssize_t raw_mq_timedreceive(mqd_t queue, char* message, size_t size, unsigned* priority, const timespec* t) {
  return answer<ssize_t>(
      raw(SYS_mq_timedreceive, queue, word(message), static_cast<long>(size), word(priority), word(t)));
}
ssize_t raw_mq_receive(mqd_t queue, char* message, size_t size, unsigned* priority) {
  return raw_mq_timedreceive(queue, message, size, priority, nullptr);
}
int raw_mq_timedsend(mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* t) {
  return answer<int>(raw(SYS_mq_timedsend, queue, word(message), static_cast<long>(size), priority, word(t)));
}
int raw_mq_send(mqd_t queue, const char* message, size_t size, unsigned priority) {
  return raw_mq_timedsend(queue, message, size, priority, nullptr);
}

int raw_ppoll(pollfd* f, nfds_t n, const timespec* t, const sigset_t* mask) {
  timespec copy;  // the kernel writes the time left; libc's ppoll does not
  if (t != nullptr) copy = *t;
  return answer(raw(SYS_ppoll, word(f), static_cast<long>(n), t != nullptr ? word(&copy) : 0, word(mask), 8));
}
int raw_poll(pollfd* f, nfds_t n, int timeout_ms) {
  const timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1'000'000L};
  return raw_ppoll(f, n, timeout_ms < 0 ? nullptr : &t, nullptr);
}
int raw_pselect(int n, fd_set* r, fd_set* w, fd_set* x, const timespec* t, const sigset_t* mask) {
  timespec copy;
  if (t != nullptr) copy = *t;
  struct {
    const sigset_t* mask;
    size_t size;
  } arg = {mask, 8};
  return answer(raw(SYS_pselect6, n, word(r), word(w), word(x), t != nullptr ? word(&copy) : 0, word(&arg)));
}
int raw_select(int n, fd_set* r, fd_set* w, fd_set* x, timeval* t) {
  timespec left;
  if (t != nullptr) left = {t->tv_sec + t->tv_usec / 1'000'000, t->tv_usec % 1'000'000 * 1000};
  const long result = raw(SYS_pselect6, n, word(r), word(w), word(x), t != nullptr ? word(&left) : 0, 0);
  if (t != nullptr) *t = {left.tv_sec, left.tv_nsec / 1000};
  return answer(result);
}
int raw_eventfd_read(int fd, eventfd_t* value) {
  return raw_read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}
int raw_eventfd_write(int fd, eventfd_t value) {
  return raw_write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}
int raw_clock_nanosleep(clockid_t clock, int flags, const timespec* t, timespec* left) {
  return static_cast<int>(-raw(SYS_clock_nanosleep, clock, flags, word(t), word(left)));
}
unsigned raw_sleep(unsigned seconds) {
  timespec t = {static_cast<time_t>(seconds), 0};
  return raw_nanosleep(&t, &t) == 0 ? 0
                                    : static_cast<unsigned>(t.tv_sec + (t.tv_nsec >= 500'000'000 ? 1 : 0));
}
int raw_usleep(useconds_t us) {
  const timespec t = {us / 1'000'000, us % 1'000'000 * 1000L};
  return raw_nanosleep(&t, nullptr);
}
int raw_thrd_sleep(const timespec* t, timespec* left) {
  const int error = raw_clock_nanosleep(CLOCK_REALTIME, 0, t, left);
  return error == 0 ? 0 : error == EINTR ? -1 : -2;
}
void raw_thrd_yield() {
  raw(SYS_sched_yield);
}
int raw_pause() {
#ifdef SYS_pause
  return answer(raw(SYS_pause));
#else
  return raw_ppoll(nullptr, 0, nullptr, nullptr);
#endif
}
int raw_dup2(int from, int to) {
  if (from != to) return answer(raw(SYS_dup3, from, to, 0));
  return raw(SYS_fcntl, from, F_GETFD) < 0 ? answer(-EBADF) : to;
}
// Not a system call; glibc's second name for it is not patched.
int raw_fclose(FILE* f) {
  return ::_IO_fclose(f);
}

int raw_fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  return answer(raw(SYS_fcntl, fd, command, argument));
}
int raw_ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  const long argument = va_arg(rest, long);
  va_end(rest);
  return answer(raw(SYS_ioctl, fd, static_cast<long>(request), argument));
}

// What stands behind the hooks, until the constructor has asked for all. An allocator's lock comes here, so
// this must not allocate: dlopen would.
void* look_up(const char* name) noexcept {
  void* found = coir_patch_behind != nullptr ? coir_patch_behind(name) : nullptr;
  if (found == nullptr) found = ::dlsym(RTLD_DEFAULT, name);  // libc comes before the patch, and first of all
  if (found != nullptr) return found;
  base::text_out(2).text("coir: this C library has no ").text(name).text("\n");
  base::misused("expected glibc (of a fully static program: linked as its pkg-config file says)");
}

#define COIR_LATE(result, name, parameters, arguments, static_name)                                \
  result late_##name parameters {                                                                  \
    using function = result(*) parameters;                                                         \
    if (&static_name != nullptr && &coir_patch_own_names == nullptr) return static_name arguments; \
    return reinterpret_cast<function>(look_up(#name)) arguments;                                   \
  }
#include "sys/late.def"
#undef COIR_LATE

template <class F>
void replace(F& pointer, void* found) noexcept {
  if (found != nullptr) pointer = reinterpret_cast<F>(found);
}

}  // namespace

real_functions real = {
#define COIR_REAL(result, name, parameters, fallback) &fallback,
#include "sys/real.def"
#undef COIR_REAL
};

bool patch_present() noexcept {
  return coir_patch_behind != nullptr;
}

void resolve_real(void* (*find)(const char* name)) noexcept {
#define COIR_REAL(result, name, parameters, fallback) replace(real.name, find(#name));
#include "sys/real.def"
#undef COIR_REAL
}

}  // namespace coir::sys

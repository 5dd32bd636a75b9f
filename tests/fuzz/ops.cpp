#include "ops.hpp"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <sstream>
#include <vector>

#include "at_work.hpp"
#include "bytes.hpp"

namespace fuzz {

pid_t child[things];

namespace {

int fd[slots];
pthread_mutex_t mutex[things];
pthread_rwlock_t rwlock[things];
pthread_cond_t condition[things];
sem_t semaphore[things];
std::atomic<int> handled{0};
std::atomic<bool> something_is_limited{false};  // by SO_RCVTIMEO or the like, or there was a child
std::vector<int> fillers;
int read_holds[flows][things], write_holds[flows][things];

// --- what the table's expressions are written with ---

bytes text(const call& c, int n) {
  return bytes(static_cast<std::size_t>(n), static_cast<char>('A' + c.number % 58));
}

// The kernel takes a number for what accept and open are to make before they wait, and coir when they have
// it: slots whose number is closed forget it then, so that it makes no difference.
std::atomic<int> makes_and_waits{0};
void forget_closed() {
  for (int& n : fd)
    if (n >= 0 && fcntl(n, F_GETFD) < 0) n = -1;
}
template <class Make>
long make_waiting(int slot, Make make) {
  if (!fillers.empty()) return -2;  // the kernel says EMFILE before it waits
  forget_closed();
  ++makes_and_waits;
  const long made = make();
  --makes_and_waits;
  if (made >= 0) fd[slot] = static_cast<int>(made);
  return made < 0 ? -1 : 0;
}
long put(int slot, long made) {
  if (made < 0) return made;
  fd[slot] = static_cast<int>(made);
  return 0;
}
long put_two(int a, int b, const int* made, long r) {
  if (r == 0) fd[a] = made[0], fd[b] = made[1];
  return r;
}
long took(call& c, long r, const char* from) {
  const int error = errno;
  if (r > 0) c.data = told(from, static_cast<std::size_t>(r));
  errno = error;
  return r;
}
// 0, or -1 with errno.
long as_errno(int error) {
  if (error != 0) errno = error;
  return error == 0 ? 0 : -1;
}

constexpr int domains[] = {AF_UNIX, AF_UNIX, AF_UNIX};
constexpr int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
constexpr int receive_flags[] = {0, MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_TRUNC, MSG_PEEK | MSG_DONTWAIT};
constexpr bool peeks(int flags) {
  return (receive_flags[flags] & MSG_PEEK) != 0;
}
constexpr int send_flags[] = {MSG_NOSIGNAL, MSG_NOSIGNAL | MSG_DONTWAIT, MSG_NOSIGNAL | MSG_MORE};
constexpr short poll_events[] = {POLLIN, POLLOUT, POLLIN | POLLOUT, POLLPRI, 0};
constexpr int poll_limits[] = {0, limit_ms, -1};

long socket_pair(int a, int b, int kind) {
  int made[2];
  return put_two(a, b, made, socketpair(domains[kind], types[kind], 0, made));
}
long pipe_pair(int a, int b, int flags) {
  int made[2];
  return put_two(a, b, made, pipe2(made, flags == 0 ? 0 : O_NONBLOCK));
}

sockaddr_in loopback() {
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}
long listen_tcp(int slot, int backlog) {
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at = loopback();
  if (s < 0 || bind(s, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || listen(s, backlog) != 0)
    return -1;
  return put(slot, s);
}
long connect_tcp(int slot, int listener) {
  sockaddr_storage at = {};
  socklen_t size = sizeof at;
  if (getsockname(fd[listener], reinterpret_cast<sockaddr*>(&at), &size) != 0) return -1;
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  if (s < 0) return -1;
  if (connect(s, reinterpret_cast<sockaddr*>(&at), size) != 0) {
    const int error = errno;
    close(s);
    errno = error;
    return -1;
  }
  return put(slot, s);
}
long udp_pair(int a, int b) {
  int s[2] = {socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET, SOCK_DGRAM, 0)};
  sockaddr_in at[2] = {loopback(), loopback()};
  for (int i = 0; i < 2; ++i) {
    socklen_t size = sizeof at[i];
    if (s[i] < 0 || bind(s[i], reinterpret_cast<sockaddr*>(&at[i]), size) != 0 ||
        getsockname(s[i], reinterpret_cast<sockaddr*>(&at[i]), &size) != 0)
      return -1;
  }
  if (connect(s[0], reinterpret_cast<sockaddr*>(&at[1]), sizeof at[1]) != 0 ||
      connect(s[1], reinterpret_cast<sockaddr*>(&at[0]), sizeof at[0]) != 0)
    return -1;
  return put_two(a, b, s, 0);
}
long file(int slot, int append) {
  char path[] = "/tmp/coir-fuzz-XXXXXX";
  const int f = mkostemp(path, append != 0 ? O_APPEND : 0);
  if (f >= 0) unlink(path);
  return put(slot, f);
}
// Both ends of a FIFO, one after the other, by whoever comes.
char fifo_path[64];
long open_fifo(int slot, int how) {
  static constexpr int ways[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK, O_WRONLY | O_NONBLOCK};
  return make_waiting(slot, [&] { return open(fifo_path, ways[how]); });
}

long receive_message(call& c, int slot, int n, int flags) {
  bytes room(static_cast<std::size_t>(n));
  iovec v[2] = {{room, room.size / 2}, {room + room.size / 2, room.size - room.size / 2}};
  msghdr m = {};
  m.msg_iov = v;
  m.msg_iovlen = 2;
  const long r =
      receive_from(fd[slot], peeks(flags), [&] { return recvmsg(fd[slot], &m, receive_flags[flags]); });
  took(c, std::min<long>(r, n), room);
  if (r >= 0 && (m.msg_flags & MSG_TRUNC) != 0) c.data += " cut";
  return r;
}
long send_message(call& c, int slot, int n, int flags) {
  bytes room = text(c, n);
  iovec v[2] = {{room, room.size / 2}, {room + room.size / 2, room.size - room.size / 2}};
  msghdr m = {};
  m.msg_iov = v;
  m.msg_iovlen = 2;
  return sendmsg(fd[slot], &m, send_flags[flags]);
}
long receive_several(call& c, int slot, int n, int one) {
  bytes room(static_cast<std::size_t>(n) * 2);
  iovec v[2] = {{room, static_cast<std::size_t>(n)}, {room + n, static_cast<std::size_t>(n)}};
  mmsghdr m[2] = {};
  for (int i = 0; i < 2; ++i) m[i].msg_hdr.msg_iov = &v[i], m[i].msg_hdr.msg_iovlen = 1;
  const long r = receive_from(
      fd[slot], false, [&] { return recvmmsg(fd[slot], m, 2, one != 0 ? MSG_WAITFORONE : 0, nullptr); });
  const int error = errno;
  for (int i = 0; i < r; ++i)
    c.data += told(room + i * n, std::min<std::size_t>(m[i].msg_len, static_cast<std::size_t>(n))) + "|";
  errno = error;
  return r;
}
long send_several(call& c, int slot, int n) {
  bytes room = text(c, n);
  iovec v = {room, room.size};
  mmsghdr m[2] = {};
  for (mmsghdr& one : m) one.msg_hdr.msg_iov = &v, one.msg_hdr.msg_iovlen = 1;
  return sendmmsg(fd[slot], m, 2, MSG_NOSIGNAL);
}
// A descriptor over a socket, with a byte.
long send_descriptor(call& c, int over, int passed) {
  bytes room = text(c, 1);
  iovec v = {room, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr m = {};
  m.msg_iov = &v;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(h), &fd[passed], sizeof(int));
  return sendmsg(fd[over], &m, MSG_NOSIGNAL);
}
long receive_descriptor(call& c, int over, int slot) {
  bytes room(1);
  iovec v = {room, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr m = {};
  m.msg_iov = &v;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  const long r = took(c, receive_from(fd[over], false, [&] { return recvmsg(fd[over], &m, 0); }), room);
  cmsghdr* h = r >= 0 ? CMSG_FIRSTHDR(&m) : nullptr;
  if (h == nullptr || h->cmsg_type != SCM_RIGHTS) return r;
  c.data += " with one";
  std::memcpy(&fd[slot], CMSG_DATA(h), sizeof(int));
  return r;
}

long poll_two(call& c, int a, int b, int events, int limit) {
  pollfd p[2] = {{fd[a], poll_events[events], 0}, {fd[b], poll_events[events], 0}};
  const int r = poll(p, 2, poll_limits[limit]);
  if (r > 0) c.data = std::to_string(p[0].revents) + "," + std::to_string(p[1].revents);
  return r;
}
long select_one(call& c, int slot, int writes, int limit) {
  if (fd[slot] < 0 || fd[slot] >= FD_SETSIZE) return -2;
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd[slot], &set);
  timeval t = {0, poll_limits[limit] * 1000};
  const int r = select(fd[slot] + 1, writes != 0 ? nullptr : &set, writes != 0 ? &set : nullptr, nullptr,
                       limit == 2 ? nullptr : &t);
  if (r >= 0) c.data = FD_ISSET(fd[slot], &set) ? "set" : "unset";
  return r;
}
long epoll_add(int set, int slot, int events) {
  epoll_event e = {};
  e.events = static_cast<std::uint32_t>(poll_events[events]);
  e.data.u32 = static_cast<std::uint32_t>(slot);
  return epoll_ctl(fd[set], EPOLL_CTL_ADD, fd[slot], &e);
}
long epoll_look(call& c, int set, int limit) {
  epoll_event e[4];
  const int r = epoll_wait(fd[set], e, 4, poll_limits[limit]);
  for (int i = 0; i < r; ++i)
    c.data += std::to_string(e[i].data.u32) + ":" + std::to_string(e[i].events) + " ";
  return r;
}

long set_option(int slot, int option, int value) {
  const timeval t = {value == 0 ? 0 : 0, value == 0 ? 0 : limit_ms * 1000};
  const int low = value == 0 ? 1 : 8;
  const int small = 4096;
  if (option < 2 && value != 0) something_is_limited = true;
  switch (option) {
    case 0:
      return setsockopt(fd[slot], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    case 1:
      return setsockopt(fd[slot], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    case 2:
      return setsockopt(fd[slot], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
    default:
      return setsockopt(fd[slot], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  }
}
long non_blocking(int slot, int on, int by_ioctl) {
  if (by_ioctl != 0) return ioctl(fd[slot], FIONBIO, &on);
  const int flags = fcntl(fd[slot], F_GETFL);
  if (flags < 0) return -1;
  return fcntl(fd[slot], F_SETFL, on != 0 ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}
// Closes a number in one of the ways there are; the slot keeps it, as programs with a fault do.
long close_in_a_way(int n, int way) {
  switch (way) {
    case 1:
      return syscall(SYS_close, n);
    case 2:
      return n < 0 ? -2 : close_range(static_cast<unsigned>(n), static_cast<unsigned>(n), 0);
    default:
      return close(n);
  }
}
long close_number(int slot, int way) {
  const int n = fd[slot];
  if (others_at_work_on(n)) return -2;
  const long r = close_in_a_way(n, way);
  if (way == 3) fd[slot] = -1;
  if (makes_and_waits != 0) forget_closed();
  return r;
}
long duplicate(int from, int to, int way) {
  if (way == 0) return put(to, dup(fd[from]));
  if (fd[to] < 0 || others_at_work_on(fd[to])) return -2;
  const long r = way == 1 ? dup2(fd[from], fd[to]) : syscall(SYS_dup3, fd[from], fd[to], O_CLOEXEC);
  return r < 0 ? -1 : 0;
}
long take_all_numbers() {
  if (makes_and_waits != 0) return -2;
  rlimit l;
  getrlimit(RLIMIT_NOFILE, &l);
  l.rlim_cur = 64;
  if (setrlimit(RLIMIT_NOFILE, &l) != 0) return -1;
  for (int n; (n = dup(2)) >= 0;) fillers.push_back(n);
  return 0;
}
long give_numbers_back() {
  for (const int n : fillers) close(n);
  fillers.clear();
  rlimit l;
  getrlimit(RLIMIT_NOFILE, &l);
  l.rlim_cur = std::min<rlim_t>(1024, l.rlim_max);
  return setrlimit(RLIMIT_NOFILE, &l);
}

// A read-write lock is unlocked by a flow that has it: anything else is undefined.
long lock_rw(call& c, int i, int way) {
  const int r = way == 0   ? pthread_rwlock_rdlock(&rwlock[i])
                : way == 1 ? pthread_rwlock_wrlock(&rwlock[i])
                           : pthread_rwlock_tryrdlock(&rwlock[i]);
  if (r == 0) ++(way == 1 ? write_holds : read_holds)[c.flow][i];
  return as_errno(r);
}
long unlock_rw(call& c, int i) {
  int& held = write_holds[c.flow][i] != 0 ? write_holds[c.flow][i] : read_holds[c.flow][i];
  if (held == 0) return -2;
  --held;
  return as_errno(pthread_rwlock_unlock(&rwlock[i]));
}

timespec soon(int ms) {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += ms * 1'000'000L;
  t.tv_sec += t.tv_nsec / 1'000'000'000;
  t.tv_nsec %= 1'000'000'000;
  return t;
}
constexpr int lock_limits[] = {-1000, limit_ms};
long timed_lock(int i, int limit) {
  const timespec t = soon(lock_limits[limit]);
  return as_errno(pthread_mutex_timedlock(&mutex[i], &t));
}
long timed_semaphore(int i, int limit) {
  const timespec t = soon(lock_limits[limit]);
  return sem_timedwait(&semaphore[i], &t);
}
long wait_condition(int i, int limit) {
  const int first = pthread_mutex_trylock(&mutex[i]);
  if (first != 0) return as_errno(first);
  const timespec t = soon(limit_ms);
  const int r = limit == 0 ? pthread_cond_wait(&condition[i], &mutex[i])
                           : pthread_cond_timedwait(&condition[i], &mutex[i], &t);
  pthread_mutex_unlock(&mutex[i]);
  return as_errno(r);
}

long make_child(int i, int what) {
  const pid_t made = fork();
  if (made < 0) return -1;
  if (made == 0) {
    if (what == 1) usleep(limit_ms * 1000);
    if (what == 2) raise(SIGKILL);
    if (what == 3) {
      const char byte = '!';
      _exit(write(fd[0], &byte, 1) == 1 ? 5 : 6);
    }
    _exit(3 + what);
  }
  child[i] = made;
  something_is_limited = true;
  return 0;
}
long wait_child(call& c, int i, int options) {
  if (child[i] == 0) return -2;
  int status = 0;
  const pid_t r = waitpid(child[i], &status, options == 1 ? WNOHANG : 0);
  if (r > 0) {
    child[i] = 0;
    c.data = std::to_string(status);
  }
  return r > 0 ? 1 : r;
}

long splice_some(int from, int to, int n, int flags) {
  return splice(fd[from], nullptr, fd[to], nullptr, static_cast<std::size_t>(n),
                flags == 0 ? 0 : SPLICE_F_NONBLOCK);
}
long file_text(int slot, int n) {
  const bytes room(static_cast<std::size_t>(n), 'f');
  return pwrite(fd[slot], room.room.data(), room.size, 0);
}

}  // namespace

// A to D stand for the arguments.
#define A c.a[0]
#define B c.a[1]
#define C c.a[2]
#define D c.a[3]
#define CALL(name, arguments, ...) LATE(name, arguments, 0, __VA_ARGS__)
#define LATE(name, arguments, calm, ...)         \
  {                                              \
    name, arguments,                             \
        [](call& c) -> long {                    \
          static_cast<void>(c);                  \
          return static_cast<long>(__VA_ARGS__); \
        },                                       \
        calm                                     \
  }
#define READS(name, arguments, n, ...)               \
  {                                                  \
    name, arguments, [](call& c) -> long {           \
      bytes room(static_cast<std::size_t>(n));       \
      const long r = static_cast<long>(__VA_ARGS__); \
      return took(c, std::min<long>(r, n), room), r; \
    }                                                \
  }
#define WRITES(name, arguments, n, ...)      \
  {                                          \
    name, arguments, [](call& c) -> long {   \
      bytes room = text(c, n);               \
      return static_cast<long>(__VA_ARGS__); \
    }                                        \
  }

const operation operations[] = {
    // --- descriptors come and go ---
    CALL("socketpair", "new new 0-2", socket_pair(A, B, C)),
    CALL("pipe", "new new 0-1", pipe_pair(A, B, C)),
    CALL("udp", "new new", udp_pair(A, B)),
    CALL("eventfd", "new 0-2 0-1", put(A, eventfd(static_cast<unsigned>(B), C == 0 ? 0 : EFD_SEMAPHORE))),
    CALL("file", "new 0-1", file(A, B)),
    CALL("file_text", "fd size", file_text(A, B)),
    LATE("fifo", "new 0-4", 40'000, open_fifo(A, B)),
    CALL("listen", "new 0-2", listen_tcp(A, B)),
    CALL("connect", "new fd", connect_tcp(A, B)),
    CALL("accept", "new fd", make_waiting(A, [&] { return accept(fd[B], nullptr, nullptr); })),
    CALL("accept4", "new fd",
         make_waiting(A, [&] { return accept4(fd[B], nullptr, nullptr, SOCK_NONBLOCK); })),
    CALL("epoll", "new", put(A, epoll_create1(0))),
    CALL("close", "fd 0-3", close_number(A, B)),
    CALL("dup", "fd new", duplicate(A, B, 0)),
    CALL("dup2", "fd fd 1-2", duplicate(A, B, C)),
    LATE("shutdown", "fd 0-2", 70'000, shutdown(fd[A], B)),
    CALL("send_descriptor", "fd fd", send_descriptor(c, A, B)),
    CALL("receive_descriptor", "fd new", receive_descriptor(c, A, B)),
    CALL("take_all_numbers", "", take_all_numbers()),
    CALL("give_numbers_back", "", give_numbers_back()),
    // --- bytes ---
    READS("read", "fd size", B, receive_from(fd[A], false, [&] { return read(fd[A], room, room.size); })),
    READS("recv", "fd size 0-5", B,
          receive_from(fd[A], peeks(C), [&] { return recv(fd[A], room, room.size, receive_flags[C]); })),
    READS("recvfrom", "fd size 0-5", B,
          receive_from(fd[A], peeks(C),
                       [&] { return recvfrom(fd[A], room, room.size, receive_flags[C], nullptr, nullptr); })),
    READS("pread", "fd size", B, pread(fd[A], room, room.size, 0)),
    CALL("recvmsg", "fd size 0-5", receive_message(c, A, B, C)),
    CALL("recvmmsg", "fd size 0-1", receive_several(c, A, B, C)),
    WRITES("write", "fd size", B, torn(fd[A], fifo_path, B) ? -2 : write(fd[A], room, room.size)),
    WRITES("send", "fd size 0-2", B, send(fd[A], room, room.size, send_flags[C])),
    CALL("sendmsg", "fd size 0-2", send_message(c, A, B, C)),
    CALL("sendmmsg", "fd size", send_several(c, A, B)),
    CALL("splice", "fd fd size 0-1", splice_some(A, B, C, D)),
    CALL("tee", "fd fd size", tee(fd[A], fd[B], static_cast<std::size_t>(C), 0)),
    CALL("sendfile", "fd fd size", sendfile(fd[A], fd[B], nullptr, static_cast<std::size_t>(C))),
    CALL("lseek", "fd size", lseek(fd[A], B, SEEK_SET)),
    // --- what is ready ---
    CALL("poll", "fd fd 0-4 0-2", poll_two(c, A, B, C, D)),
    CALL("select", "fd 0-1 0-2", select_one(c, A, B, C)),
    CALL("epoll_add", "fd fd 0-3", epoll_add(A, B, C)),
    CALL("epoll_del", "fd fd", epoll_ctl(fd[A], EPOLL_CTL_DEL, fd[B], nullptr)),
    CALL("epoll_wait", "fd 0-2", epoll_look(c, A, B)),
    // --- how they behave ---
    CALL("setsockopt", "fd 0-3 0-1", set_option(A, B, C)),
    CALL("nonblocking", "fd 0-1 0-1", non_blocking(A, B, C)),
    // --- locks ---
    CALL("mutex_lock", "thing", as_errno(pthread_mutex_lock(&mutex[A]))),
    CALL("mutex_trylock", "thing", as_errno(pthread_mutex_trylock(&mutex[A]))),
    CALL("mutex_timedlock", "thing 0-1", timed_lock(A, B)),
    CALL("mutex_unlock", "thing", as_errno(pthread_mutex_unlock(&mutex[A]))),
    CALL("rwlock_lock", "thing 0-2", lock_rw(c, A, B)),
    CALL("rwlock_unlock", "thing", unlock_rw(c, A)),
    CALL("sem_wait", "thing", sem_wait(&semaphore[A])),
    CALL("sem_trywait", "thing", sem_trywait(&semaphore[A])),
    CALL("sem_timedwait", "thing 0-1", timed_semaphore(A, B)),
    CALL("sem_post", "thing", sem_post(&semaphore[A])),
    CALL("cond_wait", "thing 0-1", wait_condition(A, B)),
    CALL("cond_signal", "thing", as_errno(pthread_cond_signal(&condition[A]))),
    CALL("cond_broadcast", "thing", as_errno(pthread_cond_broadcast(&condition[A]))),
    // --- children, signals, time ---
    CALL("fork", "thing 0-3", make_child(A, B)),
    CALL("waitpid", "thing 0-1", wait_child(c, A, B)),
    CALL("kill_child", "thing", child[A] == 0 ? -2 : kill(child[A], SIGKILL)),
    CALL("raise", "", raise(SIGUSR1)),
};
const std::size_t operation_count = std::size(operations);

const operation* find(const char* name) {
  for (const operation& o : operations)
    if (std::strcmp(o.name, name) == 0) return &o;
  return nullptr;
}

long make(const operation& o, call& c) {
  std::vector<int> numbers;
  std::istringstream kinds(o.arguments);
  int at = 0;
  for (std::string kind; kinds >> kind; ++at)
    if (kind == "fd" && fd[c.a[at]] >= 0) numbers.push_back(fd[c.a[at]]);
  for (const int n : numbers) ++at_work[n];
  errno = 0;
  const long r = o.make(c);
  const int error = errno;
  for (const int n : numbers) --at_work[n];
  errno = error;
  return r;
}

bool may_end_by_time(const operation& o, const call& c) {
  static constexpr struct {
    const char* name;
    int argument;  // that says how long; 1: limit_ms
  } limited[] = {{"poll", 3},          {"select", 2},   {"epoll_wait", 1}, {"mutex_timedlock", 1},
                 {"sem_timedwait", 1}, {"cond_wait", 1}};
  if (something_is_limited) return true;
  return std::any_of(std::begin(limited), std::end(limited),
                     [&](const auto& l) { return std::strcmp(l.name, o.name) == 0 && c.a[l.argument] == 1; });
}

void prepare() {
  std::fill(std::begin(fd), std::end(fd), -1);
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  for (int i = 0; i < things; ++i) {
    // To these kinds the owner matters, and unlocking what is another's is an error, not undefined.
    pthread_mutexattr_settype(&kind, i == 0 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex[i], &kind);
    pthread_rwlock_init(&rwlock[i], nullptr);
    pthread_cond_init(&condition[i], nullptr);
    sem_init(&semaphore[i], 0, 0);
  }
  struct sigaction act = {};
  act.sa_handler = [](int) { ++handled; };
  act.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &act, nullptr);
  signal(SIGPIPE, SIG_IGN);
  std::snprintf(fifo_path, sizeof fifo_path, "/tmp/coir-fuzz-fifo-%d", static_cast<int>(getpid()));
  mkfifo(fifo_path, 0600);
}

std::string rest() {
  std::string all;
  for (int i = 0; i < slots; ++i) {
    if (fd[i] < 0) continue;
    int n = 0;
    struct stat s = {};
    const bool open = fcntl(fd[i], F_GETFD) >= 0;
    all += " " + std::to_string(i) + ":";
    if (!open) {
      all += "closed";
    } else if (fstat(fd[i], &s) == 0 && S_ISREG(s.st_mode)) {
      all += "file " + std::to_string(s.st_size) + " at " + std::to_string(lseek(fd[i], 0, SEEK_CUR));
    } else if (S_ISFIFO(s.st_mode) && used_by_a_call(fd[i])) {
      all += "in use";  // a splice that waits has the pipe's lock
    } else if (ioctl(fd[i], FIONREAD, &n) == 0) {
      all += std::to_string(n);
    }
  }
  unlink(fifo_path);
  return all + " handled:" + std::to_string(handled.load());
}

}  // namespace fuzz

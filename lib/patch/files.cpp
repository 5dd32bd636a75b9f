// Locks on files, what goes to the disk, asynchronous I/O, message queues and System V semaphores.
#include <aio.h>
#include <errno.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <termios.h>
#include <unistd.h>

#include "patch/hook.hpp"
#include "posix/close.hpp"
#include "posix/descriptor.hpp"
#include "posix/elsewhere.hpp"
#include "posix/filelocks.hpp"
#include "posix/queues.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(files)

COIR_HOOK int flock(int fd, int operation) noexcept {
  return COIR_COOPERATIVE ? posix::flock(fd, operation) : real.flock(fd, operation);
}
COIR_HOOK int lockf(int fd, int command, off_t size) {
  return COIR_COOPERATIVE && command == F_LOCK ? posix::lockf(fd, command, size)
                                               : real.lockf(fd, command, size);
}
COIR_HOOK int lockf64(int fd, int command, off64_t size) {
  return lockf(fd, command, size);
}
// What lies in memory, and what is no file, goes to no disk.
COIR_HOOK int fsync(int fd) {
  return COIR_COOPERATIVE ? posix::unless(!posix::on_disk(fd), "fsync", [fd] { return real.fsync(fd); })
                          : real.fsync(fd);
}
COIR_HOOK int fdatasync(int fd) {
  return COIR_COOPERATIVE
             ? posix::unless(!posix::on_disk(fd), "fdatasync", [fd] { return real.fdatasync(fd); })
             : real.fdatasync(fd);
}
COIR_HOOK int tcdrain(int fd) {
  return COIR_COOPERATIVE ? posix::unless(
                                posix::drains_at_once(fd), "tcdrain", [fd] { return real.tcdrain(fd); }, true)
                          : real.tcdrain(fd);
}

namespace {
// Whether one of them is over, or nobody is to wait.
bool any_over(const aiocb* const list[], int count, const timespec* t) noexcept {
  if (count <= 0 || (t != nullptr && t->tv_sec == 0 && t->tv_nsec == 0)) return true;
  for (int i = 0; i < count; ++i)
    if (list[i] != nullptr && ::aio_error(list[i]) != EINPROGRESS) return true;
  return false;
}
}  // namespace

COIR_HOOK int aio_suspend(const aiocb* const list[], int count, const timespec* t) {
  return COIR_COOPERATIVE ? posix::unless(
                                any_over(list, count, t), "aio_suspend",
                                [=] { return real.aio_suspend(list, count, t); }, true)
                          : real.aio_suspend(list, count, t);
}
COIR_HOOK int aio_suspend64(const aiocb64* const list[], int count, const timespec* t) {
  return aio_suspend(reinterpret_cast<const aiocb* const*>(list), count, t);
}
COIR_HOOK int lio_listio(int mode, aiocb* const list[], int count, sigevent* event) noexcept {
  return COIR_COOPERATIVE && mode == LIO_WAIT
             ? posix::elsewhere(
                   "lio_listio", [=] { return real.lio_listio(mode, list, count, event); }, true)
             : real.lio_listio(mode, list, count, event);
}
COIR_HOOK int lio_listio64(int mode, aiocb64* const list[], int count, sigevent* event) noexcept {
  return lio_listio(mode, reinterpret_cast<aiocb* const*>(list), count, event);
}

COIR_HOOK ssize_t mq_timedreceive(mqd_t q, char* m, size_t n, unsigned* priority, const timespec* t) {
  return COIR_COOPERATIVE_IN(ipc) ? posix::mq_receive(q, m, n, priority, t)
                                  : real.mq_timedreceive(q, m, n, priority, t);
}
COIR_HOOK ssize_t mq_receive(mqd_t q, char* m, size_t n, unsigned* priority) {
  return COIR_COOPERATIVE_IN(ipc) ? posix::mq_receive(q, m, n, priority, nullptr)
                                  : real.mq_receive(q, m, n, priority);
}
COIR_HOOK int mq_timedsend(mqd_t q, const char* m, size_t n, unsigned priority, const timespec* t) {
  return COIR_COOPERATIVE_IN(ipc) ? posix::mq_send(q, m, n, priority, t)
                                  : real.mq_timedsend(q, m, n, priority, t);
}
COIR_HOOK int mq_send(mqd_t q, const char* m, size_t n, unsigned priority) {
  return COIR_COOPERATIVE_IN(ipc) ? posix::mq_send(q, m, n, priority, nullptr)
                                  : real.mq_send(q, m, n, priority);
}
COIR_HOOK int mq_close(mqd_t q) noexcept {
  return static_cast<int>(posix::answer(posix::close_raw(q)));
}

// These are asked without waiting first.
COIR_HOOK ssize_t msgrcv(int q, void* m, size_t n, long type, int flags) {
  if (!COIR_COOPERATIVE_IN(ipc) || (flags & IPC_NOWAIT) != 0) return real.msgrcv(q, m, n, type, flags);
  return posix::asked_first(
      "msgrcv", ENOMSG, [=] { return real.msgrcv(q, m, n, type, flags | IPC_NOWAIT); },
      [=] { return real.msgrcv(q, m, n, type, flags); });
}
COIR_HOOK int msgsnd(int q, const void* m, size_t n, int flags) {
  if (!COIR_COOPERATIVE_IN(ipc) || (flags & IPC_NOWAIT) != 0) return real.msgsnd(q, m, n, flags);
  return posix::asked_first(
      "msgsnd", EAGAIN, [=] { return real.msgsnd(q, m, n, flags | IPC_NOWAIT); },
      [=] { return real.msgsnd(q, m, n, flags); });
}
COIR_HOOK int semtimedop(int set, sembuf* operations, size_t count, const timespec* t) noexcept {
  if (!COIR_COOPERATIVE_IN(ipc)) return real.semtimedop(set, operations, count, t);
  const auto at_once = [=] {
    constexpr size_t most = 64;  // the kernel's own is 500, of which nobody makes use
    sembuf copy[most];
    if (operations == nullptr || count > most) return errno = EAGAIN, -1;
    for (size_t i = 0; i < count; ++i) {
      copy[i] = operations[i];
      copy[i].sem_flg = static_cast<short>(copy[i].sem_flg | IPC_NOWAIT);
    }
    return real.semtimedop(set, copy, count, t);
  };
  return posix::asked_first("semop", EAGAIN, at_once,
                            [=] { return real.semtimedop(set, operations, count, t); });
}
COIR_HOOK int semop(int set, sembuf* operations, size_t count) noexcept {
  return COIR_COOPERATIVE_IN(ipc) ? semtimedop(set, operations, count, nullptr)
                                  : real.semop(set, operations, count);
}

// Locks that processes share, in each of which a flow has them that has the same number as the other's.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

struct shared_memory {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  std::atomic<int> inside, together, wrong;
};

shared_memory* make_shared_memory() {
  void* at = mmap(nullptr, sizeof(shared_memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return at != MAP_FAILED ? new (at) shared_memory() : nullptr;
}

// Two processes take it and hold it for a while, a flow of each.
template <class Lock, class Unlock>
void two_processes(log& o, const char* name, shared_memory& s, Lock lock, Unlock unlock) {
  s.inside = s.together = s.wrong = 0;
  const pid_t child = COIR_MUST(fork());
  if (child == 0) alarm(10);  // it is not to outlive a row that hangs
  {
    flow holder("holder", [&](log&) {
      if (child == 0) nap(30);
      for (int i = 0; i < 3; ++i) {
        if (lock() != 0) ++s.wrong;
        if (++s.inside > 1) ++s.together;
        nap(20);
        --s.inside;
        if (unlock() != 0) ++s.wrong;
        nap(1);
      }
    });
  }
  if (child == 0) _exit(0);
  int status = -1;
  COIR_MUST(waitpid(child, &status, 0));
  o.say("%s: status %d, %d times together, %d errors", name, status, s.together.load(), s.wrong.load());
}

}  // namespace

COIR_ROW_WITH(own_process, "shared lock: flows of two processes are not taken for each other") {
  shared_memory& s = *make_shared_memory();
  for (const int type : {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_NORMAL}) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_settype(&a, type);
    pthread_mutex_init(&s.mutex, &a);
    pthread_mutexattr_destroy(&a);
    two_processes(
        o,
        type == PTHREAD_MUTEX_NORMAL      ? "normal"
        : type == PTHREAD_MUTEX_RECURSIVE ? "recursive"
                                          : "errorcheck",
        s, [&] { return pthread_mutex_lock(&s.mutex); }, [&] { return pthread_mutex_unlock(&s.mutex); });
    pthread_mutex_destroy(&s.mutex);
  }
  pthread_rwlockattr_t a;
  pthread_rwlockattr_init(&a);
  pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&s.rwlock, &a);
  pthread_rwlockattr_destroy(&a);
  two_processes(
      o, "rwlock", s, [&] { return pthread_rwlock_wrlock(&s.rwlock); },
      [&] { return pthread_rwlock_unlock(&s.rwlock); });
  pthread_rwlock_destroy(&s.rwlock);
  munmap(&s, sizeof s);
}

COIR_ROW_WITH(own_process, "shared lock: who has one knows it as his own") {
  shared_memory& s = *make_shared_memory();
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_rwlockattr_t r;
  pthread_rwlockattr_init(&r);
  pthread_rwlockattr_setpshared(&r, PTHREAD_PROCESS_SHARED);
  for (const int type : {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
    pthread_mutexattr_settype(&a, type);
    pthread_mutex_init(&s.mutex, &a);
    flow one("one", [&](log& w) {
      w.say("lock: %s", name_of_error(pthread_mutex_lock(&s.mutex)));
      w.say("again: %s", name_of_error(pthread_mutex_lock(&s.mutex)));
      nap(20);
      w.say("unlock: %s", name_of_error(pthread_mutex_unlock(&s.mutex)));
      w.say("again: %s", name_of_error(pthread_mutex_unlock(&s.mutex)));
      w.say("once more: %s", name_of_error(pthread_mutex_unlock(&s.mutex)));
    });
    flow other("other", [&](log& w) {
      nap(5);
      w.say("unlock: %s", name_of_error(pthread_mutex_unlock(&s.mutex)));
      w.say("try: %s", name_of_error(pthread_mutex_trylock(&s.mutex)));
    });
    one.join();
    other.join();
    pthread_mutex_destroy(&s.mutex);
  }
  pthread_rwlock_init(&s.rwlock, &r);
  flow writer("writer", [&](log& w) {
    w.say("write: %s", name_of_error(pthread_rwlock_wrlock(&s.rwlock)));
    w.say("again: %s", name_of_error(pthread_rwlock_wrlock(&s.rwlock)));
    w.say("read: %s", name_of_error(pthread_rwlock_rdlock(&s.rwlock)));
    w.say("unlock: %s", name_of_error(pthread_rwlock_unlock(&s.rwlock)));
    w.say("read: %s", name_of_error(pthread_rwlock_rdlock(&s.rwlock)));
    w.say("unlock: %s", name_of_error(pthread_rwlock_unlock(&s.rwlock)));
  });
  writer.join();
  pthread_rwlock_destroy(&s.rwlock);
  pthread_mutexattr_destroy(&a);
  pthread_rwlockattr_destroy(&r);
  munmap(&s, sizeof s);
}

COIR_ROW_WITH(own_process, "robust mutex: what is not recoverable says so to all, again and again") {
  shared_memory& s = *make_shared_memory();
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&s.mutex, &a);
  pthread_mutexattr_destroy(&a);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) _exit(pthread_mutex_lock(&s.mutex));
  int status = -1;
  COIR_MUST(waitpid(child, &status, 0));
  o.say("status %d", status);
  flow first("first", [&](log& w) {
    w.say("lock: %s", name_of_error(pthread_mutex_lock(&s.mutex)));
    w.say("unlock: %s", name_of_error(pthread_mutex_unlock(&s.mutex)));
    for (int i = 0; i < 3; ++i) w.say("lock: %s", name_of_error(pthread_mutex_lock(&s.mutex)));
    const timespec t = after(CLOCK_REALTIME, 50);
    w.say("timed: %s", name_of_error(pthread_mutex_timedlock(&s.mutex, &t)));
  });
  first.join();
  flow second("second", [&](log& w) { w.say("lock: %s", name_of_error(pthread_mutex_lock(&s.mutex))); });
  second.join();
  munmap(&s, sizeof s);
}

/* The micro benchmarks of State Threads (libst). Its threads are cooperative and of one OS thread, so its
 * condition variable needs no mutex; it has no semaphore and no channel; its yield is st_usleep(0).
 * Arguments and method: measure.h. */

#include <st.h>

#include "measure.h"

enum { stack_size = 64 * 1024 };

static st_thread_t spawn(void* (*start)(void*), void* argument) {
  st_thread_t thread = st_thread_create(start, argument, 1, stack_size);
  if (thread == NULL) {
    perror("st_thread_create");
    exit(1);
  }
  return thread;
}

static st_thread_t* handles; /* room for the largest crowd */

static void* nothing(void* argument) {
  return argument;
}

static void* yield_times(void* argument) {
  for (long i = 0, n = *(long*)argument; i < n; ++i) st_usleep(0);
  return NULL;
}

static void yield_among(long threads, long n) {
  long each = n / threads;
  for (long i = 0; i < threads; ++i) handles[i] = spawn(yield_times, &each);
  for (long i = 0; i < threads; ++i) st_thread_join(handles[i], NULL);
}

static void yield_2(long n) {
  yield_among(2, n);
}
static void yield_1000(long n) {
  yield_among(1000, n);
}

static void spawn_join(long n) {
  for (long i = 0; i < n; ++i) st_thread_join(spawn(nothing, NULL), NULL);
}

static void spawn_join_all(long n) {
  for (long started = 0; started < n; started += batch) {
    for (int i = 0; i < batch; ++i) handles[i] = spawn(nothing, NULL);
    for (int i = 0; i < batch; ++i) st_thread_join(handles[i], NULL);
  }
}

struct side {
  st_cond_t changed;
  int* turn;
  int me;
  long n;
};

static void* take_turns(void* argument) {
  struct side* side = argument;
  for (long i = 0; i < side->n; ++i) {
    while (*side->turn != side->me) st_cond_wait(side->changed);
    *side->turn = 1 - side->me;
    st_cond_signal(side->changed);
  }
  return NULL;
}

static void handover_cond(long n) {
  int turn = 0;
  st_cond_t changed = st_cond_new();
  struct side ping = {changed, &turn, 0, n}, pong = {changed, &turn, 1, n};
  st_thread_t a = spawn(take_turns, &ping), b = spawn(take_turns, &pong);
  st_thread_join(a, NULL);
  st_thread_join(b, NULL);
  st_cond_destroy(changed);
}

static void lock_unlock(long n) {
  static st_mutex_t mutex;
  if (mutex == NULL) mutex = st_mutex_new();
  for (long i = 0; i < n; ++i) {
    st_mutex_lock(mutex);
    __asm__ volatile("" ::: "memory");
    st_mutex_unlock(mutex);
    __asm__ volatile("" ::: "memory");
  }
}

static void switches(void) {
  emit("yield_2", measure(yield_2, 300000));
  emit("yield_1000", measure(yield_1000, 500000));
  emit("spawn_join", measure(spawn_join, 300000));
  emit("spawn_10k_join_all", measure(spawn_join_all, 20 * batch));
  emit("handover_cond", measure(handover_cond, 500000));
  emit("mutex", measure(lock_unlock, 10000000));
}

static long early;

static void* sleep_plain(void* time_us) {
  st_usleep((st_utime_t) * (int*)time_us);
  return NULL;
}

static void* sleep_checked(void* time_us) {
  double start = wall_ns();
  st_usleep((st_utime_t) * (int*)time_us);
  if (wall_ns() - start < *(int*)time_us * 1000.0) ++early;
  return NULL;
}

static long run_sleepers(int check) {
  static int* times;
  if (times == NULL) times = sleeper_times_us();
  early = 0;
  for (int i = 0; i < sleeper_count; ++i) handles[i] = spawn(check ? sleep_checked : sleep_plain, &times[i]);
  for (int i = 0; i < sleeper_count; ++i) st_thread_join(handles[i], NULL);
  return early;
}

static void sleepers(void) {
  measure_sleepers(run_sleepers, warm_sleeper_runs);
}

static long parked, done;

static void* park(void* changed) {
  ++parked;
  st_cond_wait(changed);
  ++done;
  return NULL;
}

static void rss(long count) {
  st_cond_t changed = st_cond_new();
  st_thread_join(spawn(nothing, NULL), NULL);
  struct memory_use before = memory_now();
  for (long i = 0; i < count; ++i)
    if (st_thread_create(park, changed, 0, stack_size) == NULL) {
      perror("st_thread_create");
      exit(1);
    }
  while (parked < count) st_usleep(0);
  emit_memory(before, memory_now(), count);
  st_cond_broadcast(changed);
  while (done < count) st_usleep(0);
}

int main(int argc, char** argv) {
  if (st_set_eventsys(ST_EVENTSYS_ALT) != 0 || st_init() != 0) {
    perror("st_init");
    return 1;
  }
  handles = calloc(sleeper_count, sizeof *handles);
  return handles == NULL ? 1 : micro_main(argc, argv, "st", switches, sleepers, rss);
}

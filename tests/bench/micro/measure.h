/* The measuring kit of the C and C++ micro benchmarks: clock, median, the order of the sleepers, memory of
 * this process, and one JSON object on stdout.
 *
 * Every contender's program takes the same arguments and prints the same keys, so that benchlib/micro.py can
 * put them side by side: PROGRAM switches        nanoseconds per operation: yield_2, spawn_join, mutex ...
 *   PROGRAM sleepers        100,000 fibers, each sleeping a distinct time in 0...100 ms
 *   PROGRAM rss N           memory per parked fiber, N of them, in a process that has done nothing else
 */
#ifndef COIR_BENCH_MEASURE_H
#define COIR_BENCH_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  sleeper_count = 100000,
  sleeper_span_us = 100000,
  warm_sleeper_runs = 3,
  switch_repetitions = 7,
  batch = 10000 /* spawn_10k_join_all */
};

static inline double clock_ns(clockid_t clock_id) {
  struct timespec ts;
  clock_gettime(clock_id, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline double wall_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}
static inline double cpu_ns(void) {
  return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static inline int compare_doubles(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

/* Sorts `values` in place. */
static inline double median_of(double* values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare_doubles);
  return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Nanoseconds per operation of a body that does n of them: one warm-up, then the median of the repetitions.
 */
static inline double measure(void (*body)(long n), long n) {
  double results[switch_repetitions];
  body(n);
  for (int i = 0; i < switch_repetitions; ++i) {
    double start = wall_ns();
    body(n);
    results[i] = (wall_ns() - start) / (double)n;
  }
  return median_of(results, switch_repetitions);
}

static inline void emit_begin(const char* contender) {
  printf("{\"contender\": \"%s\"", contender);
}
static inline void emit(const char* key, double value) {
  printf(",\n \"%s\": %.3f", key, value);
}
static inline void emit_string(const char* key, const char* value) {
  printf(",\n \"%s\": \"%s\"", key, value);
}
static inline int emit_end(void) {
  puts("}");
  return fflush(stdout) == 0 ? 0 : 1;
}

/* The sleepers' times in microseconds: 0, 1, 2 ... in one fixed shuffled order, the same for every contender.
 */
static inline int* sleeper_times_us(void) {
  int* times = (int*)malloc(sizeof *times * sleeper_count);
  unsigned long long state = 42;
  for (int i = 0; i < sleeper_count; ++i) times[i] = (int)((long long)i * sleeper_span_us / sleeper_count);
  for (int i = sleeper_count - 1; i > 0; --i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    int j = (int)((state >> 33) % (unsigned)(i + 1));
    int swapped = times[i];
    times[i] = times[j];
    times[j] = swapped;
  }
  return times;
}

/* Runs the sleepers: once cold, then warm (median of several), then once more with each fiber checking by the
 * clock that it did not wake early: apart, so that the clock reads are in nobody's figures.
 * `run(check)` starts all, waits for all and returns how many woke early (0 when not checking). */
static inline void measure_sleepers(long (*run)(int check), int warm_runs) {
  double walls[warm_sleeper_runs], cpus[warm_sleeper_runs];
  double start = wall_ns();
  run(0);
  emit("sleepers_cold_wall_ms", (wall_ns() - start) / 1e6);
  for (int i = 0; i < warm_runs; ++i) {
    double cpu = cpu_ns();
    start = wall_ns();
    run(0);
    walls[i] = (wall_ns() - start) / 1e6;
    cpus[i] = (cpu_ns() - cpu) / 1e6;
  }
  emit("sleepers_wall_ms", median_of(walls, warm_runs));
  emit("sleepers_cpu_ms", median_of(cpus, warm_runs));
  emit("sleepers_early", (double)run(1));
}

struct memory_use {
  double rss_bytes, page_table_bytes;
};

static inline struct memory_use memory_now(void) {
  struct memory_use use = {0, 0};
  long size = 0, resident = 0;
  char line[256];
  FILE* file = fopen("/proc/self/statm", "r");
  if (file != NULL) {
    if (fscanf(file, "%ld %ld", &size, &resident) == 2)
      use.rss_bytes = (double)(resident * sysconf(_SC_PAGESIZE));
    fclose(file);
  }
  file = fopen("/proc/self/status", "r");
  if (file == NULL) return use;
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, "VmPTE:", 6) == 0) use.page_table_bytes = strtod(line + 6, NULL) * 1024;
  fclose(file);
  return use;
}

static inline void emit_memory(struct memory_use before, struct memory_use after, long count) {
  emit("rss_bytes", (after.rss_bytes - before.rss_bytes) / (double)count);
  emit("page_table_bytes", (after.page_table_bytes - before.page_table_bytes) / (double)count);
}

/* Sends the arguments described at the head of this file to the three parts of a contender. */
static inline int micro_main(int argc, char** argv, const char* contender, void (*switches)(void),
                             void (*sleepers)(void), void (*rss)(long count)) {
  const char* what = argc > 1 ? argv[1] : "switches";
  emit_begin(contender);
  if (strcmp(what, "switches") == 0) {
    switches();
  } else if (strcmp(what, "sleepers") == 0) {
    sleepers();
  } else if (strcmp(what, "rss") == 0 && argc > 2 && atol(argv[2]) > 0) {
    rss(atol(argv[2]));
  } else {
    fprintf(stderr, "usage: %s switches | sleepers | rss N\n", argv[0]);
    return 2;
  }
  return emit_end();
}

#endif

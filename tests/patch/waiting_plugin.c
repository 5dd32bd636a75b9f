// A plugin whose constructor waits: by itself, for a look-up for which libc opens another object, and for the
// end of a thread.
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static int ready;

static void* nap(void* nothing) {
  usleep(20000);
  return nothing;
}

__attribute__((constructor)) static void begin(void) {
  usleep(50000);
  char too_long[200];
  for (size_t i = 0; i + 1 < sizeof too_long; i += 2) memcpy(too_long + i, "\xc3\xbc", 2);
  too_long[sizeof too_long - 1] = '\0';
  struct addrinfo hints = {0}, *found = NULL;
  hints.ai_flags = AI_IDN;
  if (getaddrinfo(too_long, NULL, &hints, &found) == 0) return;
  pthread_t thread;
  if (pthread_create(&thread, NULL, nap, NULL) != 0 || pthread_join(thread, NULL) != 0) return;
  ready = 1;
}

int plugin_is_ready(void) {
  return ready;
}
